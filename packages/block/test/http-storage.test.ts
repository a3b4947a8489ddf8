import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { BlockError } from '@retrap/device'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HttpFetch, type HttpResponse, HttpStorage, Overlay, RawImage, type RangeStore } from '../src/index.ts'
import { MemoryStore } from './support/memory-store.ts'

const BYTES = (1 << 20) + 700
const content = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7 + (i >> 9)) & 0xff)

/** How the server behaves. */
let behaviour: (request: IncomingMessage, response: ServerResponse, range: readonly [number, number] | null) => void
let ranges: string[] = []

/** Answers a request for a range as servers do. */
const well: typeof behaviour = (_request, response, range) => {
  if (range === null) return void response.writeHead(200, { 'content-length': BYTES }).end(content)
  const [first, last] = range
  response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${BYTES}`, etag: '"one"' })
  response.end(content.subarray(first, last + 1))
}

const server = createServer((request, response) => {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  ranges.push(request.headers.range ?? request.method ?? '')
  behaviour(request, response, range === null ? null : [Number(range[1]), Math.min(Number(range[2]), BYTES - 1)])
})
let url = ''
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  behaviour = well
  ranges = []
})

const medium = expect.objectContaining({ name: 'BlockError', code: 'ERR_MEDIUM' })
const OPTIONS = { chunkBytes: 4096, retries: 1, timeoutMs: 2000 }

describe('a file on a web server', () => {
  test('is read by ranges, each once', async () => {
    const storage = await HttpStorage.open(url, OPTIONS)
    expect(storage.bytes).toBe(BYTES)
    const into = new Uint8Array(10_000)
    await Promise.all([storage.read(5000, into), storage.read(6000, new Uint8Array(100))])
    expect(Buffer.compare(into, content.subarray(5000, 15_000))).toBe(0)
    await storage.read(4096, new Uint8Array(12_288))
    expect(ranges).toEqual(['bytes=0-0', 'bytes=4096-16383'])
    const end = new Uint8Array(300)
    await storage.read(BYTES - 300, end)
    expect(Buffer.compare(end, content.subarray(BYTES - 300))).toBe(0)
    expect(storage.fetchedBytes).toBe(12_288 + (BYTES % 4096))
    await storage.close()
  })

  test('comes in pieces of 256 KiB, and is asked for three times, unless others are asked for', async () => {
    const storage = await HttpStorage.open(url)
    await storage.read(5, new Uint8Array(1))
    await storage.read(300_000, new Uint8Array(1))
    await storage.read(0, new Uint8Array(300_000))
    expect(ranges).toEqual(['bytes=0-0', 'bytes=0-262143', 'bytes=262144-524287'])
    behaviour = (_request, response) => void response.writeHead(503).end()
    await expect(storage.read(BYTES - 10, new Uint8Array(1))).rejects.toThrow(medium)
    // Two more attempts.
    expect(ranges.length).toBe(6)
    await storage.close()
  })

  test('is a disk, with an overlay for what the guest writes', async () => {
    const image = new Overlay(new RawImage(await HttpStorage.open(url)))
    await image.write(512, new Uint8Array(512).fill(1))
    const into = new Uint8Array(1536)
    await image.read(0, into)
    expect(Buffer.compare(into.subarray(1024), content.subarray(1024, 1536))).toBe(0)
    expect(into[512]).toBe(1)
    await image.close()
  })

  test('takes no more memory than it may', async () => {
    const storage = await HttpStorage.open(url, { ...OPTIONS, cacheBytes: 8192 })
    for (let at = 0; at < 10; at++) await storage.read(at * 4096, new Uint8Array(4096))
    expect(ranges).toHaveLength(11)
    await storage.read(9 * 4096, new Uint8Array(4096))
    await storage.read(8 * 4096, new Uint8Array(4096))
    expect(ranges).toHaveLength(11)
    await storage.read(0, new Uint8Array(4096))
    expect(ranges).toHaveLength(12)
  })

  test.each([
    { what: 'knows no ranges', status: 200, headers: {}, message: 'does not answer requests for a range' },
    { what: 'has no such file', status: 404, headers: {}, message: 'status 404' },
    { what: 'compresses', status: 206, headers: { 'content-encoding': 'br' }, message: 'sends it compressed' },
    {
      what: 'shows no Content-Range',
      status: 206,
      headers: {},
      message: 'has to send Access-Control-Expose-Headers: Content-Range',
    },
    { what: 'gives no size', status: 206, headers: { 'content-range': 'bytes 0-0/*' }, message: 'how long it is' },
  ])('is refused where the server $what', async ({ status, headers, message }) => {
    behaviour = (request, response) =>
      void response
        .writeHead(request.method === 'HEAD' ? 405 : status, headers)
        .end(request.method === 'HEAD' ? '' : 'x')
    await expect(HttpStorage.open(url, OPTIONS)).rejects.toThrow(message)
    await expect(HttpStorage.open(url, OPTIONS)).rejects.toThrow(
      expect.objectContaining({ name: 'ImageError', code: 'ERR_OPEN' }),
    )
  })

  test('is read whole where the server knows no ranges, up to a size', async () => {
    behaviour = (_, response) => void response.writeHead(200, { 'content-length': BYTES }).end(content)
    const storage = await HttpStorage.open(url, { ...OPTIONS, wholeBytes: BYTES })
    const into = new Uint8Array(10_000)
    await storage.read(5000, into)
    expect(Buffer.compare(into, content.subarray(5000, 15_000))).toBe(0)
    expect([storage.whole?.length, storage.fetchedBytes]).toEqual([BYTES, BYTES])
    expect(ranges).toEqual(['bytes=0-0', 'GET'])
    const why = `and the file has ${BYTES} bytes: expected such a server, or at most ${BYTES - 1}`
    await expect(HttpStorage.open(url, { ...OPTIONS, wholeBytes: BYTES - 1 })).rejects.toThrow(why)
  })

  test('has its size asked for by itself where a page may not see it', async () => {
    behaviour = (request, response, range) => {
      if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': BYTES }).end()
      response.writeHead(206).end(content.subarray(range![0], range![1] + 1))
    }
    const storage = await HttpStorage.open(url, OPTIONS)
    expect(storage.bytes).toBe(BYTES)
    await storage.read(0, new Uint8Array(100))
    expect(ranges).toEqual(['bytes=0-0', 'HEAD', 'bytes=0-4095'])
  })

  test.each<{ what: string; answer: typeof behaviour; message: string }>([
    {
      what: 'has another file',
      answer: (_request, response, range) =>
        void response.writeHead(206, { etag: '"two"' }).end(content.subarray(...range!)),
      message: 'it has changed on the server',
    },
    {
      what: 'sends all of it',
      answer: (_request, response) => void response.writeHead(200, { etag: '"one"' }).end(content),
      message: 'it has changed on the server',
    },
    {
      what: 'sends more than was asked for',
      answer: (_request, response, range) =>
        void response.writeHead(206, { etag: '"one"' }).end(content.subarray(range![0], range![1] + 2)),
      message: 'the answer has more than',
    },
    {
      what: 'sends less than was asked for',
      answer: (_request, response, range) =>
        void response.writeHead(206, { etag: '"one"' }).end(content.subarray(range![0], range![1])),
      message: 'the answer ends after',
    },
    {
      what: 'sends another range',
      answer: (_request, response) =>
        void response
          .writeHead(206, { etag: '"one"', 'content-range': `bytes 1-4096/${BYTES}` })
          .end(content.subarray(1, 4097)),
      message: 'the server sends bytes 1-4096',
    },
    {
      what: 'sends less',
      answer: (_request, response) => void response.writeHead(206, { etag: '"one"' }).end('less'),
      message: 'the answer ends after 4 of 4096 bytes',
    },
    {
      what: 'sends more, without an end',
      answer: (_request, response) => {
        response.writeHead(206, { etag: '"one"' })
        const timer = setInterval(() => response.write(content), 1)
        response.on('close', () => clearInterval(timer))
      },
      message: 'the answer has more than 4096 bytes',
    },
    {
      what: 'tears the connection',
      answer: (_request, response) => {
        response.writeHead(206, { etag: '"one"', 'content-length': 4096 })
        response.write('torn', () => response.destroy())
      },
      message: 'terminated',
    },
    {
      what: 'fails',
      answer: (_request, response) => void response.writeHead(503, { etag: '"one"' }).end(),
      message: '503',
    },
  ])('gives an error of the medium where the server $what, and goes on afterwards', async ({ answer, message }) => {
    const storage = await HttpStorage.open(url, OPTIONS)
    behaviour = answer
    const into = new Uint8Array(512)
    await expect(storage.read(0, into)).rejects.toThrow(message)
    await expect(storage.read(0, into)).rejects.toThrow(medium)
    behaviour = well
    await storage.read(0, into)
    expect(Buffer.compare(into, content.subarray(0, 512))).toBe(0)
  })

  test('is asked for again after a failure, as often as told', async () => {
    const storage = await HttpStorage.open(url, { ...OPTIONS, retries: 2 })
    let failures = 2
    behaviour = (request, response, range) => {
      if (failures-- > 0) response.destroy()
      else well(request, response, range)
    }
    await storage.read(0, new Uint8Array(512))
    expect(ranges).toHaveLength(4)
  })

  test('is asked for again where something before the server fails, which knows nothing of the file', async () => {
    const storage = await HttpStorage.open(url, OPTIONS)
    let failures = 1
    behaviour = (request, response, range) => {
      if (failures-- > 0) response.writeHead(502, { 'last-modified': 'now' }).end('Bad Gateway')
      else well(request, response, range)
    }
    await storage.read(0, new Uint8Array(512))
    expect(ranges).toEqual(['bytes=0-0', 'bytes=0-4095', 'bytes=0-4095'])
  })

  test.each([
    { what: 'no answer', status: 0 },
    { what: 'a time that is up', status: 408 },
    { what: 'too many requests', status: 429 },
    { what: 'an error of the server', status: 500 },
    { what: 'trouble of the server', status: 503 },
    { what: 'the last of the errors that a server has', status: 599 },
  ])('is opened again after $what, as often as told', async ({ status }) => {
    let failures = 2
    behaviour = (request, response, range) => {
      if (failures-- <= 0) well(request, response, range)
      else if (status === 0) response.destroy()
      else response.writeHead(status).end('x')
    }
    expect((await HttpStorage.open(url, { ...OPTIONS, retries: 2 })).bytes).toBe(BYTES)
    expect(ranges).toEqual(['bytes=0-0', 'bytes=0-0', 'bytes=0-0'])
    failures = 2
    await expect(HttpStorage.open(url, OPTIONS)).rejects.toThrow(`${url}: the `)
    expect(ranges).toHaveLength(5)
  })

  test.each([400, 401, 404, 409, 428, 430, 499])('is not asked for again where the answer is %i', async (status) => {
    behaviour = (_request, response) => void response.writeHead(status).end()
    await expect(HttpStorage.open(url, { ...OPTIONS, retries: 2 })).rejects.toThrow(`status ${status}`)
    expect(ranges).toHaveLength(1)
  })

  test('whose size a HEAD tells is asked for that again', async () => {
    let failures = 1
    behaviour = (request, response, range) => {
      if (request.method !== 'HEAD') response.writeHead(206).end(content.subarray(range![0], range![1] + 1))
      else if (failures-- > 0) response.destroy()
      else response.writeHead(200, { 'content-length': BYTES }).end()
    }
    expect((await HttpStorage.open(url, OPTIONS)).bytes).toBe(BYTES)
    expect(ranges).toEqual(['bytes=0-0', 'HEAD', 'HEAD'])
  })

  test.each([200, 206, 500])('whose answer %d cannot be used keeps no connection busy', async (status) => {
    let cancelled = 0
    const body = {
      getReader: () => ({ read: async () => ({ done: false, value: content }), cancel: async () => void cancelled++ }),
    }
    const first = { 'content-range': `bytes 0-0/${BYTES}`, etag: '"one"' }
    const answers = [
      { status: 206, headers: new Headers(first), body },
      { status, headers: new Headers({ etag: '"two"' }), body },
    ]
    const storage = await HttpStorage.open(url, { ...OPTIONS, retries: 0, fetch: async () => answers.shift()! })
    await expect(storage.read(0, new Uint8Array(512))).rejects.toThrow(medium)
    expect(cancelled).toBe(2)
  })

  test('that does not answer fails after its time', async () => {
    const first = { 'content-range': `bytes 0-0/${BYTES}`, etag: '"one"' }
    const answers: HttpResponse[] = [{ status: 206, headers: new Headers(first), body: null }]
    // The first request is answered however busy this host is.
    const get: HttpFetch = (_url, { signal }) =>
      new Promise((resolve, reject) => {
        const answer = answers.shift()
        if (answer !== undefined) resolve(answer)
        signal.addEventListener('abort', () => reject(signal.reason as Error))
      })
    const storage = await HttpStorage.open(url, { ...OPTIONS, timeoutMs: 50, retries: 0, fetch: get })
    await expect(storage.read(0, new Uint8Array(512))).rejects.toThrow(medium)
  })

  test.each([{ chunkBytes: 0 }, { cacheBytes: -1 }, { timeoutMs: 0 }, { retries: 1.5 }])(
    '%o is refused',
    async (options) => {
      await expect(HttpStorage.open(url, options)).rejects.toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
    },
  )

  test('is not written', async () => {
    const storage = await HttpStorage.open(url)
    await expect(storage.write()).rejects.toThrow(BlockError)
    await expect(new RawImage(storage).write(0, new Uint8Array(512))).rejects.toThrow('cannot be written')
  })
})

describe('with a store of what was read', () => {
  const read = async (store: RangeStore, offset: number, bytes: number): Promise<number> => {
    const storage = await HttpStorage.open(url, { ...OPTIONS, store })
    try {
      const into = new Uint8Array(bytes)
      await storage.read(offset, into)
      expect(Buffer.compare(into, content.subarray(offset, offset + bytes))).toBe(0)
      return storage.fetchedBytes
    } finally {
      await storage.close()
    }
  }

  test('what an earlier storage has read is not asked for again: gaps are', async () => {
    const store = new MemoryStore()
    expect(await read(store, 4096, 4096)).toBe(4096)
    expect(await read(store, 12_288, 100)).toBe(4096)
    ranges = []
    expect(await read(store, 0, 20_480)).toBe(3 * 4096)
    expect(ranges.toSorted()).toEqual(['bytes=0-0', 'bytes=0-4095', 'bytes=16384-20479', 'bytes=8192-12287'])
    expect(await read(store, BYTES - 700, 700)).toBe(700)
    ranges = []
    expect(await read(store, BYTES - 700, 700)).toBe(0)
    expect(ranges).toEqual(['bytes=0-0'])
    expect(store.closed).toBe(5)
  })

  test('a server that cannot be reached, or is in trouble, is not missed', async () => {
    const store = new MemoryStore()
    await read(store, 0, 8192)
    for (const away of [
      (_request, response) => void response.destroy(),
      (_request, response) => void response.writeHead(503).end(),
    ] satisfies (typeof behaviour)[]) {
      behaviour = away
      expect(await read(store, 100, 8000)).toBe(0)
      await expect(read(store, 8192, 1)).rejects.toThrow(medium)
    }
    behaviour = (_request, response) => void response.writeHead(404).end()
    await expect(read(store, 0, 1)).rejects.toThrow('the server answers with status 404')
    expect(store.closed).toBe(6)
  })

  test('another state of the file is read anew', async () => {
    const store = new MemoryStore()
    await read(store, 0, 4096)
    behaviour = (_request, response, range) => {
      const [first, last] = range!
      response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${BYTES}`, etag: '"two"' })
      response.end(content.subarray(first, last + 1))
    }
    expect(await read(store, 0, 4096)).toBe(4096)
    expect(store.kept?.tag).toBe('"two"')
  })

  test.each<[what: string, fields: Readonly<Record<string, string>>]>([
    ['a weak tag', { etag: 'W/"one"' }],
    ['no tag', {}],
    ['a server that forbids it', { etag: '"one"', 'cache-control': 'private, No-Store' }],
  ])('with %s nothing is kept', async (_what, fields) => {
    const store = new MemoryStore()
    behaviour = (_request, response, range) => {
      const [first, last] = range!
      const headers = { 'content-range': `bytes ${first}-${last}/${BYTES}`, ...fields }
      response.writeHead(206, headers).end(content.subarray(first, last + 1))
    }
    expect(await read(store, 0, 4096)).toBe(4096)
    expect(await read(store, 0, 4096)).toBe(4096)
    expect([store.kept, store.chunks.size, store.closed]).toEqual([null, 0, 2])
  })

  test('what comes after it was closed is not kept', async () => {
    const store = new MemoryStore()
    const storage = await HttpStorage.open(url, { ...OPTIONS, store })
    const reading = storage.read(0, new Uint8Array(4096))
    await storage.close()
    await reading
    await storage.close()
    expect([store.chunks.size, store.closed]).toEqual([0, 1])
  })
})
