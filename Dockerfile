# One image for web, worker, gateway and engine: the same code everywhere, and torch where a GPU is given.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=config.settings
WORKDIR /srv/plethora

# Dependencies first: a change of code doesn't install them again. The default index has torch for CUDA; a smaller
# image without GPU: --build-arg TORCH_INDEX=<PyTorch's CPU index>.
ARG TORCH_INDEX=""
COPY pyproject.toml requirements.lock ./
RUN touch README.md \
    && PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir -c requirements.lock ".[torch]" \
    && useradd --system --uid 10001 --home-dir /var/lib/plethora --create-home plethora

COPY . .
USER plethora
VOLUME /var/lib/plethora
EXPOSE 8000 8001
CMD ["python", "manage.py", "web", "--host", "0.0.0.0"]
