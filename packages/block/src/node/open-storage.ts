import { type BlockStorage, HttpStorage, type HttpStorageOptions, ImageError } from '../index.ts'
import { FileStorage, type FileStorageOptions } from './file-storage.ts'

/** Whether a name is that of a file on a web server: `http://…` or `https://…`. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name)
}

/**
 * Opens a file of this host, or one on a web server, which is read by ranges and cannot be written. A URL may have a user's name
 * and password.
 *
 * @throws ImageError `ERR_OPEN`, `ERR_LOCKED`
 */
export async function openStorage(name: string, options: FileStorageOptions = {}): Promise<BlockStorage> {
  if (!isUrl(name)) return FileStorage.open(name, options)
  if (!URL.canParse(name)) throw new ImageError('ERR_OPEN', `${name}: it is not a URL`)
  const url = new URL(name)
  const { username, password } = url
  url.username = ''
  url.password = ''
  // Requests have no such part, and those who read messages need not see it.
  return HttpStorage.open(url.href, username === '' && password === '' ? {} : { headers: login(username, password) })
}

/** Source: RFC 7617, "The 'Basic' HTTP Authentication Scheme". */
function login(name: string, password: string): NonNullable<HttpStorageOptions['headers']> {
  const text = `${decoded(name)}:${decoded(password)}`
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}

/** A `%` that is no escape stands for itself: URLs may have one. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * The file that an image on a web server names as the one below it: one of the same server. It must not make this host read its
 * own files, or what only this host can reach.
 *
 * @throws ImageError `ERR_BACKING`
 */
export function resolveUrl(url: string, name: string): string {
  const path = isUrl(name) ? name : name.replaceAll('%', '%25').replaceAll('#', '%23').replaceAll('?', '%3F')
  const below = URL.canParse(path, url) ? new URL(path, url) : undefined
  if (below?.origin === new URL(url).origin) return below.href
  throw new ImageError(
    'ERR_BACKING',
    `${url}: the backing file is ${name}; an image of a web server may name files there only`,
  )
}
