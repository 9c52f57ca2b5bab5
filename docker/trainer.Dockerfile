# The trainer: docker run -v $PWD:/work samesay-trainer train faq.tsv --out run; also the worker that makes releases.
FROM python:3.12-slim
WORKDIR /srv
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY model model
COPY index index
COPY migrations migrations
COPY samples samples
COPY samesay samesay
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" ".[cpu,train,postgres]"
RUN useradd --create-home samesay
USER samesay
WORKDIR /work
ENTRYPOINT ["samesay"]
CMD ["train", "--help"]
