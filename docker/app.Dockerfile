# The service: no torch. Build: docker build -f docker/app.Dockerfile -t samesay .
FROM python:3.12-slim
WORKDIR /srv
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY model model
COPY index index
COPY migrations migrations
COPY samples samples
COPY samesay samesay
ARG EXTRAS=cpu,postgres
RUN pip install --no-cache-dir ".[${EXTRAS}]"
RUN useradd --create-home samesay && mkdir /data && chown samesay /data
USER samesay
ENV SAMESAY_DATA=/data SAMESAY_HOST=0.0.0.0
VOLUME /data
EXPOSE 8765
CMD ["samesay", "serve"]
