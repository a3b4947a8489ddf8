import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  createServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { IoreqError } from '@retrap/ioreq'

/**
 * The certificate of one end of a TLS connection, and the authorities that it trusts. Both ends show a certificate. The texts are PEM, as in the files
 * that `openssl` writes.
 */
export interface TlsIdentity {
  /** The certificate of this end, followed by those between it and the authority, if there are any. */
  readonly cert: string
  /** The private key of the certificate. */
  readonly key: string
  /** The authorities that the other end's certificate must come from. The operating system's authorities do not count. */
  readonly ca: string
  /**
   * Revocation lists, one for each authority between a certificate of the other end and `ca`, that one included. Default: no
   * certificate is revoked. A list that is past its next update lets nobody in.
   */
  readonly crl?: string
  /**
   * Names, of which the other end's certificate must have one (subject alternative names of DNS and IP). Default for the
   * end that connects: the host that it connects to; for the end that listens: any certificate of `ca` will do.
   */
  readonly peers?: readonly string[]
}

/** Files of a `TlsIdentity`. */
export interface TlsFiles {
  /** Path of the certificate. */
  readonly cert: string
  /** Path of the private key. */
  readonly key: string
  /** Path of the authorities' certificates. */
  readonly ca: string
  /** Path of the revocation lists. */
  readonly crl?: string
  /** Names that the other end may have. */
  readonly peers?: readonly string[]
}

/**
 * Reads the files of an identity.
 *
 * @throws IoreqError `ERR_NOT_FOUND` for a file that cannot be read, `ERR_INVALID` for a bad certificate or a wrong key
 */
export async function readTlsFiles({ cert, key, ca, crl, peers }: TlsFiles): Promise<TlsIdentity> {
  const paths = [cert, key, ca, ...(crl === undefined ? [] : [crl])]
  const [certText, keyText, caText, crlText] = await Promise.all(paths.map(readText))
  const identity = {
    ...{ cert: certText!, key: keyText!, ca: caText! },
    ...(crlText !== undefined && { crl: crlText }),
    ...(peers && { peers }),
  }
  checkIdentity(identity)
  return identity
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code = 'unknown' } = cause as { code?: string }
    throw new IoreqError('ERR_NOT_FOUND', `${path}: cannot be read (${code}): expected a file in PEM format`, { cause })
  }
}

const MOST_PEER_NAMES = 64

/** A list of a text with several: OpenSSL takes the first of each text. */
const CRL = /-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g

/** Options of a TLS context for an identity. */
export function contextOptions({ cert, key, ca, crl }: TlsIdentity): SecureContextOptions {
  return { cert, key, ca, ...(crl !== undefined && { crl: crl.match(CRL) ?? [] }), minVersion: 'TLSv1.3' }
}

/** @throws IoreqError `ERR_INVALID` */
function checkIdentity(identity: TlsIdentity): void {
  if ((identity.peers?.length ?? 1) === 0 || (identity.peers?.length ?? 0) > MOST_PEER_NAMES)
    throw new IoreqError('ERR_INVALID', `${identity.peers?.length} names of peers: expected 1 to ${MOST_PEER_NAMES}`)
  if (!/-----BEGIN (?:TRUSTED )?CERTIFICATE-----/.test(identity.ca))
    throw new IoreqError('ERR_INVALID', 'ca has no certificate: expected PEM; without one nobody could be believed')
  if (identity.crl?.match(CRL) === null)
    throw new IoreqError('ERR_INVALID', 'crl has no revocation list: expected PEM; leave it out if none are revoked')
  try {
    createSecureContext(contextOptions(identity))
  } catch (cause) {
    const { message } = cause as Error
    const what =
      'expected a certificate, its private key without a passphrase, certificates of authorities, and any revocation lists, in PEM format'
    throw new IoreqError('ERR_INVALID', `the TLS identity cannot be used (${message}): ${what}`, { cause })
  }
}

/** The server of the end that listens. `secured` gets a connection when its handshake is over, with any certificate or none. */
export function tlsServer(identity: TlsIdentity, secured: (socket: TLSSocket) => void): Server {
  checkIdentity(identity)
  // A peer whose certificate is wrong gets the reason, and nothing else: `whyNotTrusted` decides, before a byte is
  // read.
  const options = { ...contextOptions(identity), requestCert: true, rejectUnauthorized: false }
  const server = createServer(options, secured)
  server.on('tlsClientError', (_error, socket) => void socket.destroy())
  return server
}

/**
 * Connects the end that connects.
 *
 * @param peer - a name that the other end's certificate must have, unless the identity has others
 * @throws IoreqError `ERR_INVALID`
 */
export function tlsConnect(identity: TlsIdentity, host: string, port: number, peer: string = host): TLSSocket {
  checkIdentity(identity)
  const names = identity.peers ?? [peer]
  const [first] = names
  return connect({
    ...contextOptions(identity),
    host,
    port,
    ...(first !== undefined && isIP(first) === 0 && { servername: first }),
    rejectUnauthorized: true,
    checkServerIdentity: (_host, cert) => {
      const errors = names.map((name) => checkServerIdentity(name, cert))
      return errors.includes(undefined) ? undefined : errors[0]
    },
  })
}

/** The reason why the listening end rejects its peer; null: it accepts it. */
export function whyNotTrusted(socket: TLSSocket, { peers }: TlsIdentity): string | null {
  // A peer that resumes a TLS session does not show the certificate again, which may have expired.
  if (socket.isSessionReused()) return 'TLS sessions are not resumed here'
  if (!socket.authorized) return `your certificate is not trusted: ${String(socket.authorizationError)}`
  if (peers === undefined) return null
  const cert = socket.getPeerCertificate()
  if (peers.some((name) => checkServerIdentity(name, cert) === undefined)) return null
  return 'your certificate has none of the names that may connect'
}

/** SHA-256 of the other end's certificate. */
export function fingerprintOf(socket: TLSSocket): string {
  return socket.getPeerCertificate().fingerprint256
}

/**
 * Tells peers apart that are trusted: a session belongs to the names of a certificate, which may be renewed meanwhile. Without
 * alternative names it belongs to the certificate itself.
 */
export function partyOf(socket: TLSSocket): string {
  const { subject, subjectaltname = '', fingerprint256 } = socket.getPeerCertificate()
  return subjectaltname === '' ? fingerprint256 : JSON.stringify([subject, subjectaltname])
}

/**
 * Whether a failed connection says that another attempt will fail in the same way: a certificate that is not believed, or a
 * peer that does not speak TLS.
 */
export function isTlsRefusal(error: Error): boolean {
  const { code = '' } = error as { code?: string }
  if (/^ERR_(?:SSL|TLS)_/.test(code)) return true
  return /CERT|SELF_SIGNED|UNABLE_TO_|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH|CRL/.test(code)
}
