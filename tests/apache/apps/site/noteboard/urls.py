from django.contrib import admin
from django.urls import path

from notes import views

urlpatterns = [
    path("", views.index),
    path("upload", views.upload),
    path("download/<int:mebibytes>", views.download),
    path("whoami", views.whoami),
    path("boom", views.boom),
    path("admin/", admin.site.urls),
]
