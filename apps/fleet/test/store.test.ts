import * as fs from 'node:fs'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import S3rver from 's3rver'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FileCache } from '../src/store/file-cache.ts'
import { openStore, S3Store } from '../src/store/s3-store.ts'
import { type ArtefactStore, FolderStore, StoreError } from '../src/store/store.ts'
import { checkingServer, signatureOf } from './support/signed-requests.ts'

const folder = fs.mkdtempSync(join(tmpdir(), 'fleet-store-'))
const server = new S3rver({
  ...{ port: 0, address: '127.0.0.1', silent: true, directory: join(folder, 's3') },
  configureBuckets: [{ name: 'retrap', configs: [] }],
})
/** Checks signatures, which the server behind it does not. */
const checking = () => checkingServer(port, KEYS.AWS_SECRET_ACCESS_KEY)
let port = 0
let front: Server
const KEYS = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' }
let address = ''

beforeAll(async () => {
  port = (await server.run()).port
  front = checking().listen(0, '127.0.0.1')
  await once(front, 'listening')
  address = `s3://retrap/some/where?endpoint=http://127.0.0.1:${(front.address() as { port: number }).port}`
})
afterAll(async () => {
  front.close()
  await server.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name)
  fs.writeFileSync(path, content)
  return path
}
// sha256sum of "abc": FIPS 180-2, appendix B.1.
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const NONE = ABC.replace('ba', 'ab')

describe.each<readonly [string, () => ArtefactStore]>([
  ['a folder', () => new FolderStore(join(folder, 'store'))],
  ['an S3 server', () => new S3Store(address, KEYS)],
])('a store on %s', (_name, open) => {
  test('gives a file back by the hash of its content', async () => {
    const store = open()
    expect(await store.put(file('abc', 'abc'))).toEqual({ sha256: ABC, bytes: 3 })
    expect(await store.put(file('again', 'abc'))).toEqual({ sha256: ABC, bytes: 3 })
    await store.get(ABC, join(folder, 'back'))
    expect(fs.readFileSync(join(folder, 'back'), 'utf8')).toBe('abc')
    const large = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3)
    const { sha256 } = await store.put(file('large', large))
    await store.get(sha256, join(folder, 'back'))
    expect(Uint8Array.from(fs.readFileSync(join(folder, 'back')))).toEqual(large)
  })

  test('says what it lacks, and leaves no file', async () => {
    await expect(open().get(NONE, join(folder, 'none'))).rejects.toThrow(`has no ${NONE}`)
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([])
  })
})

describe('a file that goes to an S3 server in parts', () => {
  const PART = 5 * 2 ** 20

  test('comes back as it was', async () => {
    const store = new S3Store(address, KEYS, PART)
    const content = Buffer.alloc(2 * PART + 12_345, 'the parts of a snapshot ')
    const { sha256, bytes } = await store.put(file('parts', content))
    expect(bytes).toBe(content.length)
    await store.get(sha256, join(folder, 'back'))
    expect(fs.readFileSync(join(folder, 'back')).equals(content)).toBe(true)
  })

  test('is not there if it changes meanwhile', async () => {
    const path = file('changing', Buffer.alloc(PART + 1, 1))
    const store = new S3Store(address, KEYS, PART)
    const put = store.put(path)
    // Its digest is known when the server is asked.
    front.once('request', () => fs.writeFileSync(path, Buffer.alloc(PART + 1, 2)))
    await expect(put).rejects.toThrow()
    const { sha256 } = await new FolderStore(join(folder, 'other')).put(file('same', Buffer.alloc(PART + 1, 1)))
    await expect(store.get(sha256, join(folder, 'none'))).rejects.toThrow(`has no ${sha256}`)
  })
})

describe('what a store gives is checked', () => {
  test('a folder whose file was changed', async () => {
    const store = new FolderStore(join(folder, 'changed'))
    await store.put(file('abc', 'abc'))
    fs.writeFileSync(join(folder, 'changed', ABC.slice(0, 2), ABC.slice(2)), 'abd')
    await expect(store.get(ABC, join(folder, 'none'))).rejects.toThrow(/has the hash a52d159f.*damaged/)
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([])
  })

  test.each([
    ['refuses a key is told with its status', { AWS_ACCESS_KEY_ID: 'nobody' }],
    ['checks signatures refuses those of another key', { AWS_SECRET_ACCESS_KEY: 'other' }],
  ])('a server that %s', async (_, keys) => {
    const store = new S3Store(address, { ...KEYS, ...keys })
    await expect(store.put(file('x', 'secret'))).rejects.toThrow(/refuses PUT of [0-9a-f]{64} with status 403/)
  })

  // The first example of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
  test('signatures are those of the specification', () => {
    const headers = {
      host: 'examplebucket.s3.amazonaws.com',
      range: 'bytes=0-9',
      'x-amz-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'x-amz-date': '20130524T000000Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date',
    }
    const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
    expect(signatureOf({ method: 'GET', url: '/test.txt', headers }, secret)).toBe(
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    )
  })

  test.each([
    ['s3://b?endpoint=http://store.example', KEYS, /use https/],
    ['s3://b', {}, /set AWS_ACCESS_KEY_ID/],
    ['s3:b', KEYS, /give s3/],
  ])('%s is refused', (text, environment, message) => {
    expect(() => new S3Store(text, environment)).toThrow(StoreError)
    expect(() => new S3Store(text, environment)).toThrow(message)
  })

  test('an address that is no s3: is a folder', () => {
    expect(openStore(join(folder, 'f'))).toBeInstanceOf(FolderStore)
  })
})

describe('the files of a worker', () => {
  test('are fetched once, and again where they are damaged', async () => {
    const store = new FolderStore(join(folder, 'store'))
    const abc = await store.put(file('abc', 'abc'))
    let fetched = 0
    const counting: ArtefactStore = {
      put: (path) => store.put(path),
      get: async (sha256, path) => {
        fetched++
        await store.get(sha256, path)
      },
    }
    const cache = new FileCache(join(folder, 'cache'), counting, 1000)
    const beside = new FileCache(relative(process.cwd(), join(folder, 'cache-2')), store, 1000)
    expect(await beside.pathOf(abc)).toBe(join(folder, 'cache-2', ABC))
    const [path, same] = await Promise.all([cache.pathOf(abc), cache.pathOf(abc)])
    expect(same).toBe(path)
    expect(fs.readFileSync(path, 'utf8')).toBe('abc')
    expect(fetched).toBe(1)
    fs.chmodSync(path, 0o600)
    fs.writeFileSync(path, 'abd')
    await new FileCache(join(folder, 'cache'), counting, 1000).pathOf(abc)
    expect(fs.readFileSync(path, 'utf8')).toBe('abc')
    expect(fetched).toBe(2)
    await expect(cache.pathOf({ sha256: NONE, bytes: 3 })).rejects.toThrow('has no')
  })

  test('make room for others when they have not been used for an hour, the oldest first', async () => {
    const store = new FolderStore(join(folder, 'store'))
    const old = join(folder, 'old')
    fs.mkdirSync(old)
    for (const [name, minutes] of Object.entries({ a: 180, b: 90, c: 5 })) {
      const path = file(join('old', name), 'x'.repeat(10))
      fs.utimesSync(path, Date.now() / 1000, Date.now() / 1000 - minutes * 60)
    }
    const cache = new FileCache(old, store, 25)
    await cache.pathOf(await store.put(file('abc', 'abc')))
    expect(fs.readdirSync(old).sort()).toEqual(['b', ABC, 'c'].sort())
    await cache.pathOf(await store.put(file('more', 'more than five bytes')))
    expect(fs.readdirSync(old).sort()).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), ABC, 'c'].sort())
  })
})
