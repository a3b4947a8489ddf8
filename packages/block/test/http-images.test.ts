import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createQcow2 } from '../src/index.ts'
import * as node from '../src/node/index.ts'

const folder = temporaryFolder('http')
const BYTES = 1 << 20
const raw = Buffer.alloc(BYTES, 'on the server ')

/** What the server has, by path. */
const files = new Map<string, Uint8Array>([['/raw.img', raw]])
/** Where it sends those who ask, by path. */
const redirects = new Map<string, string>()
let logins: (string | undefined)[] = []
const server = createServer((request, response) => {
  const location = redirects.get(request.url ?? '')
  if (location !== undefined) return void response.writeHead(302, { location }).end()
  const content = files.get(decodeURIComponent(request.url ?? ''))
  logins.push(request.headers.authorization)
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  if (content === undefined) return void response.writeHead(404).end()
  const [from, to] = [Number(first), Math.min(Number(last), content.length - 1)]
  response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${content.length}`, etag: '"1"' })
  response.end(content.subarray(from, to + 1))
})
let root = ''
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** A qcow2 image without data of its own. */
async function overlay(name: string, format = 'raw'): Promise<Uint8Array> {
  const path = join(folder, 'made.qcow2')
  const storage = await node.FileStorage.create(path)
  await createQcow2(storage, { bytes: BYTES, backing: { name, format } })
  await storage.close()
  return readFileSync(path)
}

async function firstBytes(image: { read(at: number, into: Uint8Array): Promise<void> }): Promise<string> {
  const into = Buffer.alloc(512)
  await image.read(0, into)
  return into.toString('latin1', 0, 14)
}

describe('an image that is named by its URL', () => {
  test('is read, and takes writes into memory', async () => {
    const image = await node.openImage(`${root}/raw.img`)
    expect([image.properties.bytes, image.properties.readOnly]).toEqual([BYTES, true])
    expect(await firstBytes(image)).toBe('on the server ')
    await expect(image.write(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    await image.close()
    const changed = await node.openImage(`${root}/raw.img`, { snapshot: true })
    await changed.write(0, Buffer.alloc(512, 'changed in ram'))
    expect([await firstBytes(changed), changed.properties.readOnly]).toEqual(['changed in ram', false])
    await changed.close()
  })

  test('names files of its server alone as those below it', async () => {
    files.set('/sub/above.qcow2', await overlay('../raw.img'))
    files.set('/odd#name?.img', raw)
    files.set('/odd.qcow2', await overlay('odd#name?.img'))
    for (const name of ['sub/above.qcow2', 'odd.qcow2']) {
      const image = await node.openImage(`${root}/${name}`, { format: 'qcow2', snapshot: true })
      expect(await firstBytes(image)).toBe('on the server ')
      await image.close()
    }
    // This name is one of the server, wherever such a file lies here.
    writeFileSync(join(folder, 'secret'), Buffer.alloc(BYTES, 'secret'))
    files.set('/steal.qcow2', await overlay(join(folder, 'secret')))
    await expect(node.openImage(`${root}/steal.qcow2`, { format: 'qcow2' })).rejects.toThrow('status 404')
    for (const name of [`file:${join(folder, 'secret')}`, `file://${folder}/secret`, 'http://127.0.0.1:1/raw.img']) {
      files.set('/steal.qcow2', await overlay(name))
      await expect(node.openImage(`${root}/steal.qcow2`, { format: 'qcow2' })).rejects.toMatchObject({
        code: 'ERR_BACKING',
        message: expect.stringContaining('may name files there only'),
      })
    }
  })

  test('may be redirected, but what it names below itself only to its server', async () => {
    let visits = 0
    const elsewhere = createServer((_request, response) => {
      visits++
      response.writeHead(206, { 'content-range': `bytes 0-0/${BYTES}` }).end('s')
    })
    elsewhere.listen(0, '127.0.0.1')
    await once(elsewhere, 'listening')
    const secret = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/secret`
    try {
      redirects.set('/moved.img', '/raw.img')
      redirects.set('/away.img', secret)
      redirects.set('/loop.img', '/loop.img')
      await (await node.openStorage(`${root}/away.img`)).close()
      expect(visits).toBe(1)
      files.set('/above.qcow2', await overlay('moved.img'))
      const image = await node.openImage(`${root}/above.qcow2`, { format: 'qcow2' })
      expect(await firstBytes(image)).toBe('on the server ')
      await image.close()
      const refused = async (below: string, message: string): Promise<void> => {
        files.set('/above.qcow2', await overlay(below))
        const opened = node.openImage(`${root}/above.qcow2`, { format: 'qcow2' })
        await expect(opened).rejects.toMatchObject({ code: 'ERR_BACKING', message: expect.stringContaining(message) })
        await expect(node.probeFormat(`${root}/${below}`, { sameOrigin: true })).rejects.toThrow(message)
      }
      await refused('away.img', 'may name files there only')
      await refused('loop.img', 'too often')
      // The server redirects an image that is in use.
      const storage = await node.openStorage(`${root}/moved.img`, { sameOrigin: true })
      redirects.set('/moved.img', secret)
      await expect(storage.read(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'ERR_MEDIUM' })
      expect(visits).toBe(1)
    } finally {
      elsewhere.closeAllConnections()
      elsewhere.close()
    }
  })

  test('is below an image of this host', async () => {
    const path = join(folder, 'local.qcow2')
    writeFileSync(path, await overlay(`${root}/raw.img`))
    const image = await node.openImage(path, { format: 'qcow2' })
    expect(await firstBytes(image)).toBe('on the server ')
    await image.write(0, Buffer.alloc(512, 'changed a file'))
    expect(await firstBytes(image)).toBe('changed a file')
    await image.close()
    expect(node.resolveBacking(path, `${root}/x`)).toBe(`${root}/x`)
    expect(() => node.resolveBacking(path, 'ftp://host/x')).toThrow('only files and URLs of http and https')
  })

  test('has a format', async () => {
    files.set('/small.qcow2', await overlay('raw.img'))
    files.set('/short', Buffer.from('x'))
    expect(
      await Promise.all(['raw.img', 'small.qcow2', 'short'].map((name) => node.probeFormat(`${root}/${name}`))),
    ).toEqual(['raw', 'qcow2', 'raw'])
  })

  test('may have a password with a bare percent sign', async () => {
    logins = []
    const storage = await node.openStorage(`${root.replace('//', '//me:100%@')}/raw.img`)
    await storage.close()
    expect(new Set(logins)).toEqual(new Set([`Basic ${Buffer.from('me:100%').toString('base64')}`]))
  })

  test('is asked for with a name and a password, which nobody else sees', async () => {
    logins = []
    const url = root.replace('http://', 'http://me:p%40ss@')
    const storage = await node.openStorage(`${url}/raw.img`)
    await storage.read(0, new Uint8Array(1))
    expect(new Set(logins)).toEqual(new Set([`Basic ${Buffer.from('me:p@ss').toString('base64')}`]))
    await expect(node.openStorage(`${url}/none.img`)).rejects.toSatisfy((error) => !String(error).includes('p%40ss'))
    await expect(node.openImage(`${url}/raw.img`, { format: 'qcow2' })).rejects.toMatchObject({
      message: expect.stringMatching(/^http:\/\/127[^@]*$/),
    })
    files.set('/below.qcow2', await overlay('none.img'))
    await expect(node.openImage(`${url}/below.qcow2`, { format: 'qcow2' })).rejects.toMatchObject({
      code: 'ERR_BACKING',
      message: expect.not.stringContaining('p%40ss'),
    })
    expect(['http://me:secret@host:x/y', 'http://me@host/y', 'a@b'].map(node.shownName)).toEqual([
      'http://host:x/y',
      'http://host/y',
      'a@b',
    ])
  })

  test.each([
    { url: () => `${root}/none.img`, says: '/none.img: the server answers with status 404' },
    { url: () => 'http://127.0.0.1:1/x', says: 'http://127.0.0.1:1/x: the request failed: ' },
    { url: () => 'http://', says: 'http://: it is not a URL' },
  ])('that cannot be had says why: $says', async ({ url, says }) => {
    await expect(node.openImage(url())).rejects.toMatchObject({
      code: 'ERR_OPEN',
      message: expect.stringContaining(says),
    })
  })

  test.each(['https://host/x', 'HTTP://host'])('%s is one', (name) => expect(node.isUrl(name)).toBe(true))
  test.each(['http:x', './http://x', 'C:/x'])('%s is a file', (name) => expect(node.isUrl(name)).toBe(false))
})
