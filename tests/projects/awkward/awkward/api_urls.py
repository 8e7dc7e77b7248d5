from django.urls import path
from places import views

urlpatterns = [path("v1/places/<int:pk>/", views.api_place)]
