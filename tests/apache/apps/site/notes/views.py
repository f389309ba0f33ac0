"""Views that carry data both ways, so that a test can compare every byte."""
import hashlib
import os
import sys

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Note

MEBIBYTE = 1 << 20


def index(request):
    return HttpResponse("".join("%s\n" % note.title for note in Note.objects.order_by("id")), content_type="text/plain")


@csrf_exempt
def upload(request):
    """The uploaded file comes back as it was, with its digest in a header."""
    content = request.FILES["file"].read()
    response = HttpResponse(content, content_type="application/octet-stream")
    response["X-SHA256"] = hashlib.sha256(content).hexdigest()
    return response


def block(i):
    """Block i of the download: MEBIBYTE bytes that differ from block to block."""
    return hashlib.sha256(b"%d" % i).digest() * (MEBIBYTE // 32)


def download(request, mebibytes):
    return StreamingHttpResponse((block(i) for i in range(mebibytes)), content_type="application/octet-stream")


def whoami(request):
    return JsonResponse({"uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "python": sys.version.split()[0]})


def boom(request):
    raise RuntimeError("boom in a view")
