import { type BlockStorage, HttpStorage, ImageError } from '../index.ts'
import type { HttpStorageOptions } from '../http-storage.ts'
import { FileStorage, type FileStorageOptions } from './file-storage.ts'

/** Whether a name is that of a file on a web server: `http://…` or `https://…`. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name)
}

/** Returns a file's name for messages: a URL without the user's name and password. */
export function shownName(name: string): string {
  if (!isUrl(name)) return name
  // Names that are no valid URL may have a password, too.
  if (!URL.canParse(name)) return name.replace(/^(https?:\/\/)[^/?#]*@/i, '$1')
  const url = new URL(name)
  if (url.username === '' && url.password === '') return name
  url.username = ''
  url.password = ''
  return url.href
}

/** Options for {@link openStorage}. */
export interface OpenStorageOptions extends FileStorageOptions {
  /** A web server may redirect requests to itself only. Give it for a file that an image on a server names. Default false. */
  readonly sameOrigin?: boolean
}

/**
 * Opens a file of this host, or one on a web server, which is read by ranges and cannot be written. A URL may have a user's name
 * and password, and the server may redirect requests elsewhere, unless `sameOrigin` says no.
 *
 * @throws ImageError `ERR_OPEN`, `ERR_LOCKED`; `ERR_BACKING` for a redirect that `sameOrigin` refuses
 */
export async function openStorage(name: string, options: OpenStorageOptions = {}): Promise<BlockStorage> {
  if (!isUrl(name)) return FileStorage.open(name, options)
  if (!URL.canParse(name)) throw new ImageError('ERR_OPEN', `${shownName(name)}: it is not a URL`)
  const { username, password } = new URL(name)
  // Fragments are not sent, and need not appear in messages.
  return HttpStorage.open(new URL(shownName(name)).href, {
    ...(options.sameOrigin === true && { sameOrigin: true }),
    ...((username !== '' || password !== '') && { headers: login(username, password) }),
  })
}

/** Source: RFC 7617, "The 'Basic' HTTP Authentication Scheme". */
function login(name: string, password: string): NonNullable<HttpStorageOptions['headers']> {
  const text = `${decoded(name)}:${decoded(password)}`
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}

/** An invalid `%` escape stands for itself, as some URLs contain one. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * Resolves the backing file of an image on a web server: it must be on the same server, so that the image cannot make this host
 * read local files or servers that only this host can reach.
 *
 * @throws ImageError `ERR_BACKING`
 */
export function resolveUrl(url: string, name: string): string {
  const path = isUrl(name) ? name : name.replaceAll('%', '%25').replaceAll('#', '%23').replaceAll('?', '%3F')
  const below = URL.canParse(path, url) ? new URL(path, url) : undefined
  if (below?.origin === new URL(url).origin) return below.href
  throw new ImageError(
    'ERR_BACKING',
    `${shownName(url)}: the backing file is ${shownName(name)}; an image of a web server may name files there only`,
  )
}
