/*
 * hvsockets.dll: stand-ins for functions of ws2_32, since Wine has no AF_HYPERV. Such sockets become those of TCP on
 * the loopback; all else about them is ws2_32's own. portOfGuest tells at which port an address can be reached.
 */
#include <winsock2.h>
#include <string.h>

#define AF_HYPERV 34
#define ADDRESS_BYTES 36
#define MOST_BOUND 1024

static struct {
  char address[ADDRESS_BYTES];
  unsigned short port;
} bound[MOST_BOUND];
static int boundCount;
static SRWLOCK lock = SRWLOCK_INIT;

SOCKET WSAAPI standInSocket(int family, int type, int protocol) {
  if (family != AF_HYPERV || type != SOCK_STREAM || protocol != 1) {
    WSASetLastError(WSAEAFNOSUPPORT);
    return INVALID_SOCKET;
  }
  return socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
}

int WSAAPI standInBind(SOCKET s, const char *address, int size) {
  struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int bytes = sizeof loopback;
  if (size != ADDRESS_BYTES || address[0] != AF_HYPERV) {
    WSASetLastError(WSAEFAULT);
    return SOCKET_ERROR;
  }
  if (bind(s, (struct sockaddr *)&loopback, bytes) || getsockname(s, (struct sockaddr *)&loopback, &bytes)) {
    return SOCKET_ERROR;
  }
  AcquireSRWLockExclusive(&lock);
  int at = boundCount++ % MOST_BOUND;
  memcpy(bound[at].address, address, ADDRESS_BYTES);
  bound[at].port = ntohs(loopback.sin_port);
  ReleaseSRWLockExclusive(&lock);
  return 0;
}

/* The port of the newest socket with this address, or 0. */
unsigned short portOfGuest(const char *address) {
  unsigned short port = 0;
  AcquireSRWLockShared(&lock);
  for (int i = boundCount - 1; i >= 0 && i > boundCount - 1 - MOST_BOUND && !port; i--) {
    if (!memcmp(bound[i % MOST_BOUND].address, address, ADDRESS_BYTES)) port = bound[i % MOST_BOUND].port;
  }
  ReleaseSRWLockShared(&lock);
  return port;
}
