# An application of your own as a node: one static program, and the command for its health check. See the page about
# containers in the manual.
FROM scratch
ARG APP
COPY farcall /farcall
COPY ${APP} /app
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --retries=3 CMD ["/farcall", "health"]
ENTRYPOINT ["/app"]
