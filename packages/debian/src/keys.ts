import type { JsonWebKey } from 'node:crypto'

/** A public key that signs parts of Debian's archive. */
export interface ArchiveKey {
  /** The identifier in OpenPGP signatures: the last 16 digits of the fingerprint. */
  readonly id: string
  /** Signatures that were made later are refused. */
  readonly expires: Date
  readonly key: JsonWebKey
}

const rsa = (n: string): JsonWebKey => ({ kty: 'RSA', e: 'AQAB', n })

/**
 * The keys that sign Debian 12, out of Debian's package debian-archive-keyring (2023.3+deb12u2). To compare them:
 * `gpg --show-keys --with-subkey-fingerprint /usr/share/keyrings/debian-archive-bookworm-*.gpg`
 */
export const DEBIAN_KEYS: readonly ArchiveKey[] = [
  {
    // Debian Archive Automatic Signing Key (12/bookworm), subkey 4CB50190207B4758A3F73A796ED0E7B82643E131
    id: '6ED0E7B82643E131',
    expires: new Date('2031-01-19'),
    key: rsa(
      '5SIpEu4Q1OzxuuLRebzk3VEgbot-hz6HtLe8H6G7ZAwsyrJvJVcs-wwIKPiJI-sxe6HDO7fD6zfG9HNnTUcORg3FTMXTRAtOvwXru_Jlp3Kx_2DK1gW5UmAxEHFEaWR7cjFPQuScAiU9fgPKzk_7pB05m2Sb0fw4RTMZeSQFAamJtjM0aPsggk5w1yLj0vgYz-TLOcMWdQHxB8cPukGP-bxqkYaZSO_A9Q6BW0UlHte59yUgeQkJ6jiX6mml15BODy5nZ6VYioQ0BnQJuPpYv7Lahb8OGWYO4UeSC9_-EqVxO1AwYgfbZk1AqON6oqhVOePYkXeBDLzElD72dz9hkPddEgMIq0y-zRkHHBaChgdjcTzNGET_LHKq4Bf-7wFNohLg7fDm2XW2XoO_awg2NetvwVMBzB7i26jnG0mBKtiThJ1tQiiHYyCfbybDghq8_Qc0zdoVBr8WXpj9WQYsgKivVRN7f7129MAeSPDQtse6r2B5SK4OpHn6Fl35IEZMJ2KZl9MsLSxdrd1O8Xw2JLEHfJD_9NuWAmHgdLftDg4gxzZRZ5lRFOW8di_R8O0gpQJzqGXQind5oa15eA5XOtTbQJ5wcm1jbBSFyQTiXEyF9T2HXAQOwTwYHq6YAGFRC3q4WbpLIQFppqmgF5v_HIaEnlhHX5wVKb7ZnYBvALc',
    ),
  },
  {
    // Debian Security Archive Automatic Signing Key (12/bookworm), subkey B0CAB9266E8C3929798B3EEEBDE6D2B9216EC7A8
    id: 'BDE6D2B9216EC7A8',
    expires: new Date('2031-01-19'),
    key: rsa(
      '4NLsfgyRqLHc8kXgDQ_M8u1lzWNR22l1ue4MgJDS6ulZEnZY_lcRHWVGzicYUGdYS8_7j2CtPobTHgj3ydCBZiWKPep1NaANxje0wuVoqKK1poeZ3JyF_lVddcqN9wUB1Zb_z-dk0EEAlmODJ-86e3eQbbI24mhmKnXS2nUClCFuxKzE6GJ0MLPg4fQH1VctCLGLZzHe5RNsXRt1v_77n-P0a_HcURjFnEJTZQ_0b9i4FvqT7VyfYx4ur3YOV8VmNOHJPpDQTNaNZgqEj_I7SFTbCYzJrn6pcZ99AWx9wubwNAUMJwxLLEXruDtWu5ql2mK8uUfjk3d7ccjIeq4jNfreXmboxI4SYk7KthiCbvv3xb9dUOS_vMDj5kxWlDez4O9x9NGvSW1DROqdV7i1SfKnNRKWwcWGKi2Sh1pYnKtwYGKvzBTkVQrjIRWqJL-WbiQBS02TkQXrZBwYCdJ7N-Qf-sibTNZ8PeCg2JveRx55gmPNXW5kAcX4cuQtMC8KJGhrkVgQp7x_dVg41kseeDLCG-d8e-aJ7h9BmQdD9fvfNbDSbmxLhPtSfdcZCSN8bwLX6N4xETuy2MLIkmTr7vh4D8tF9fdNK00Ul4LA_G9JzIxAUD9H9nfYviXP5enV8cVOMSzvGyx9uDtBS4zqlkZr8GvAXXPW3P9J071Vy2s',
    ),
  },
  {
    // Debian Stable Release Key (12/bookworm), 4D64FEC119C2029067D6E791F8D2585B8783D481
    id: 'F8D2585B8783D481',
    expires: new Date('2031-01-21'),
    key: { kty: 'OKP', crv: 'Ed25519', x: 'd7Z0srwuhlB6JKFkcf4HU4SSS_xcRfwEQWzrcrf6AEo' },
  },
]
