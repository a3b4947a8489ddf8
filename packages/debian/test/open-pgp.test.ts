/** Clear-signed documents (RFC 4880, 7). The document is by GnuPG 2.2.40, with two keys of its own. */
import { expect, test } from 'vitest'
import type { ArchiveKey } from '../src/keys.ts'
import { verifyClearSigned } from '../src/open-pgp.ts'

const DOCUMENT = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: Test
- - a dash
spaces at the end  \t
- -----BEGIN x
Umlaut ä
-----BEGIN PGP SIGNATURE-----

iHUEARYKAB0WIQQQWHDCS6ZID3UsFYf/m3lXb4GrVgUCawsC7QAKCRD/m3lXb4Gr
VjzWAP9SHR1QFC9dybuGbbOvJbdl01zxtX9lXh3Q6OLu9vRAswD7B1VtDaoKS5AN
A9345TuR96TAY6G7s6iw/kHomv3X7wCIswQBAQoAHRYhBPYl1j94/aQCYd9VZqk6
F43JIXlIBQJrCwLtAAoJEKk6F43JIXlIEccEAIQBl1CZ7qIoDMEouepIRFZoyEL9
geN/hUOfiCSUP73EarpBI+3s9x6jRUb0MHZOqijhpsiK7D10xa6LIeb5/jpqzzjC
huyGxDDXAI35n1KAyi5SQqSQlwoHbsb4ilClfPeN1jvZhffKmNG008fSDEt0TL1X
4nwzKOujFFxdP4uf
=I8pi
-----END PGP SIGNATURE-----
`
const expires = new Date('2100-01-01')
const ED25519: ArchiveKey = {
  id: 'FF9B79576F81AB56',
  expires,
  key: {
    ...{ kty: 'OKP', crv: 'Ed25519' },
    x: Buffer.from('006b36c80e9b118384847aa5783dda67c9bf5f3e47a60636524371b816cf520e', 'hex').toString('base64url'),
  },
}
const RSA: ArchiveKey = {
  id: 'A93A178DC9217948',
  expires,
  key: {
    ...{ kty: 'RSA', e: 'AQAB' },
    n: '3zWIBnoot_MletVubQatfpDYD9eHiOPF_8q0UgnSHbByS1Y9jd33aZY2Y_xTrNRbfklqRi_vsy5sagsRkMa96qMNjdajId15RyNBcnagsxmekOvG61iV35bu4s6gXVKqIKKfi97wdyKUmDjwh4jf4D3CA7J385kcxVULfPnwIuU',
  },
}
const check = (document: string, ...keys: ArchiveKey[]): string => verifyClearSigned(document, keys, 'it')

test.each([
  ['an Ed25519 key', ED25519],
  ['an RSA key', RSA],
])('a text that %s has signed is returned as it was signed', (_which, key) => {
  expect(check(DOCUMENT, key)).toBe('Origin: Test\n- a dash\nspaces at the end\n-----BEGIN x\nUmlaut ä')
})

test.each([
  ['of a changed text', DOCUMENT.replace('Test', 'test'), [ED25519, RSA], 'is not that of its text'],
  [
    'of an unknown key',
    DOCUMENT,
    [{ ...RSA, id: '0123456789ABCDEF' }],
    'signed by FF9B79576F81AB56, A93A178DC9217948; exp',
  ],
  ['of a key under the name of another', DOCUMENT, [{ ...ED25519, key: RSA.key }], 'is not that of its text'],
  ['of a key that had expired', DOCUMENT, [{ ...RSA, expires: new Date('2026-11-28') }], 'the key has expired'],
  ['with a changed time', DOCUMENT.replace('CawsC7QA', 'CbwsC7QA'), [ED25519], 'is not that of its text'],
  ['by a weak hash', DOCUMENT.replace('iHUEARYK', 'iHUEARYC'), [ED25519], 'is not that of its text'],
  ['that is cut short', DOCUMENT.replace(/F43JIX[^]*uf\n/, ''), [RSA], 'is damaged'],
  ['that is absent', 'Origin: Test\n', [RSA], 'no document with an OpenPGP signature'],
  [
    'below a text that was put in front',
    `Origin: Other\n\n${DOCUMENT}`,
    [RSA],
    'no document with an OpenPGP signature',
  ],
])('a signature %s is refused', (_what, document, keys, message) => {
  expect(() => check(document, ...keys)).toThrow(`it is refused: `)
  expect(() => check(document, ...keys)).toThrow(message)
})
