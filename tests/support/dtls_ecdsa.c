/* Loaded before libre: baresip 1.0 makes itself an RSA certificate for DTLS, which our engine does not
 * take. Here it gets one by ECDSA, as later versions make. The rest of its DTLS stays its own. */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct tls;

int tls_set_certificate_pem(struct tls *tls, const char *cert, size_t len_cert,
                            const char *key, size_t len_key);

static size_t load(const char *directory, const char *name, char *text, size_t size)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t length = fread(text, 1, size, file);
    fclose(file);
    return length;
}

int tls_set_selfsigned_rsa(struct tls *tls, const char *name, size_t bits)
{
    char cert[4096], key[4096];
    const char *directory = getenv("DTLS_ECDSA");
    (void)name;
    (void)bits;
    if (!directory)
        return EINVAL;
    size_t len_cert = load(directory, "dtls.pem", cert, sizeof(cert));
    size_t len_key = load(directory, "dtls.key", key, sizeof(key));
    return tls_set_certificate_pem(tls, cert, len_cert, key, len_key);
}
