import { readFileSync } from 'node:fs'
import { CliError } from '../cli-error.ts'
import { troubleWith } from '../files/files.ts'
import { usage } from '../options/values.ts'

/** Where two sides of a migration meet. */
export type MigrationAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly secretFile: string }

/** Fewer bytes of a secret can be guessed. */
const LEAST_SECRET_BYTES = 16

/**
 * Reads `unix:PATH` or `tcp:HOST:PORT,secret=FILE`.
 *
 * @param what - what the text was given for
 * @throws CliError `ERR_USAGE`
 */
export function parseMigrationAddress(what: string, text: string): MigrationAddress {
  const [, path] = /^unix:(.+)$/.exec(text) ?? []
  if (path !== undefined) return { kind: 'unix', path }
  const [, host = '', digits = '', secretFile] = /^tcp:(.+):(\d+)(?:,secret=(.+))?$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port < 1 || port > 0xffff)
    throw usage(`${what} '${text}' is no address; give unix:PATH or tcp:HOST:PORT,secret=FILE`)
  if (secretFile === undefined)
    throw usage(`${what} ${text}: a port is open to others; add secret=FILE, with the same file on both sides`)
  return { kind: 'tcp', host: host.replace(/^\[(.*)\]$/, '$1'), port, secretFile }
}

/** Reads the secret of an address; null: it has none. @throws CliError `ERR_INPUT` */
export function secretOf(address: MigrationAddress): Buffer | null {
  if (address.kind === 'unix') return null
  let secret: Buffer
  try {
    secret = readFileSync(address.secretFile)
  } catch (error) {
    throw new CliError('ERR_INPUT', `${address.secretFile}: ${troubleWith(error)}`)
  }
  if (secret.length < LEAST_SECRET_BYTES) {
    const what = `${address.secretFile}: ${secret.length} bytes are too few for a secret`
    throw new CliError('ERR_INPUT', `${what}; make one: head -c 32 /dev/urandom > ${address.secretFile}`)
  }
  return secret
}
