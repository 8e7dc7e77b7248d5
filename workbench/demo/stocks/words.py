"""The words that invented companies, people and places are made of."""

from __future__ import annotations

#: code, name, country, city, time zone, currency, website
EXCHANGES: tuple[tuple[str, str, str, str | None, str, str, str | None], ...] = (
    (
        "XNOR",
        "Northern Stock Exchange",
        "NO",
        "Bergen",
        "Europe/Oslo",
        "NOK",
        "https://northern.example/markets",
    ),
    ("XHAR", "Harbour Exchange", "GB", "Bristol", "Europe/London", "GBP", None),
    ("XLAK", "Great Lakes Exchange", "US", None, "America/Chicago", "USD", "https://greatlakes.example"),
    ("XALP", "Alpine Bourse", "CH", "Chur", "Europe/Zurich", "CHF", None),
    ("XPAC", "Pacific Board", "JP", "Kobe", "Asia/Tokyo", "JPY", "https://pacificboard.example/en"),
)
FIRST = (
    "Northfield", "Ashdown", "Calder", "Ivory", "Juniper", "Kestrel", "Lowland", "Merrow", "Orchard", "Pembroke",
    "Quarry", "Redwood", "Saltmarsh", "Tamarind", "Umber", "Verdant", "Westbrook", "Yarrow", "Zephyr", "Blackwater",
)  # fmt: skip
SECOND = (
    "Optics", "Foods", "Logistics", "Instruments", "Energy", "Textiles", "Shipping", "Biologics", "Robotics", "Paper",
    "Minerals", "Software", "Insurance", "Motors", "Ceramics", "Railways", "Semiconductor", "Dairies",
)  # fmt: skip
FORM = ("plc", "Inc.", "AG", "Holdings", "Group", "ASA", "Corporation")
SECTORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Industrials", ("Machinery", "Marine Transport", "Rail Operators", "Building Products")),
    ("Technology", ("Application Software", "Semiconductors", "Electronic Components")),
    ("Health Care", ("Biotechnology", "Medical Devices", "Hospital Services")),
    ("Consumer Staples", ("Packaged Foods", "Beverages", "Household Products")),
    ("Energy", ("Grid Operators", "Wind and Solar", "Oil and Gas Services")),
    ("Financials", ("Property Insurance", "Regional Banks", "Asset Management")),
)
CITIES = (
    "Aarhus",
    "Bologna",
    "Cork",
    "Dresden",
    "Eindhoven",
    "Fukuoka",
    "Ghent",
    "Halifax",
    "Izmir",
    "Jena",
    "Leeds",
)
GIVEN = (
    "Amina",
    "Bela",
    "Chidi",
    "Dagny",
    "Emil",
    "Farah",
    "Gustav",
    "Hana",
    "Ines",
    "Jonas",
    "Keiko",
    "Luis",
    "Mira",
)
FAMILY = (
    "Abe",
    "Berg",
    "Costa",
    "Dietz",
    "Eriksen",
    "Fontaine",
    "Gruber",
    "Hughes",
    "Ivanova",
    "Jansen",
    "Khan",
    "Lund",
)
RATINGS = ("AAA", "AA-", "A+", "A", "BBB+", "BBB", "BB", "B-")
DOES = ("designs", "makes", "leases", "distributes", "maintains", "insures", "refines")
THINGS = (
    "measuring instruments for laboratories", "chilled goods for supermarkets", "bearings for wind turbines",
    "control software for rail freight", "coated papers and packaging", "sensors for water utilities",
    "vehicles for ports and airports", "enzymes for detergents", "roof tiles and glazed ceramics",
)  # fmt: skip
PLACES = (
    "northern Europe",
    "the Great Lakes region",
    "twelve countries",
    "the domestic market",
    "East Asia and Oceania",
)
NOTES = (
    "Order book stable; margins under pressure from freight costs.",
    "Management guides to the lower half of the range, citing a weak second quarter.",
    "Disposal of the packaging unit expected to close before the year's end.",
)
