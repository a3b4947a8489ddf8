/** Requests of guests that are made by `fetch`, with a web server of Node's, and a client in place of the guest's connection. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  fetchSockets,
  type FetchedResponse,
  type FetchSocketsOptions,
  NetworkError,
  type RefusedConnection,
  type SocketAddress,
} from '../src/index.ts'
import { HttpRequestParser } from '../src/fetch/http-request.ts'
import { SyntheticNames } from '../src/synthetic-names.ts'
import { Client } from './support/tcp-client.ts'
import { until } from './support/test-card.ts'

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1')
/** The end of an answer's head, and its body. */
const bodyOf = (text: string): string => text.slice(text.indexOf('\r\n\r\n') + 4)

describe('the outside by fetch', () => {
  let port: number
  const asked: { readonly request: IncomingMessage; readonly body: string }[] = []
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await request.toArray()).join('')
    asked.push({ request, body })
    if (request.url === '/broken') {
      response.writeHead(200, { 'content-length': 100 })
      response.write('a part')
      setTimeout(() => response.destroy(), 20)
      return
    }
    if (request.url === '/large') return void response.end(Buffer.alloc(8 << 20, 'x'))
    response.writeHead(request.url === '/none' ? 204 : 200, 'Fine', { 'x-own': 'yes', 'content-type': 'text/plain' })
    response.end(request.url === '/none' ? undefined : 'hello guest')
  }

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => server.close())

  function connect(to: Partial<SocketAddress> = {}, options: FetchSocketsOptions = {}) {
    const client = new Client()
    const socket = fetchSockets(options).connectTcp({ address: '127.0.0.1', port, ...to }, client)
    return { client, socket }
  }

  async function ask(request: string, options?: FetchSocketsOptions): Promise<Client> {
    const { client, socket } = connect({}, options)
    for (const byte of latin1(request)) socket.write(Uint8Array.of(byte))
    await until(() => client.isEnded)
    socket.end()
    expect(client.end).toBe('finished')
    return client
  }

  test('a request comes to the server, whatever its pieces, and the answer in chunks', async () => {
    const fields = 'Host: 127.0.0.1\r\nUser-Agent: wget\r\nX-Own: 1\r\nAccept: text/plain\r\n'
    const { text } = await ask(`\r\nGET /a?b=c HTTP/1.1\r\n${fields}\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 200 Fine\r\n([^\r]+\r\n)*x-own: yes\r\n/)
    expect(text).toContain('\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nb\r\nhello guest\r\n0\r\n\r\n')
    expect(text).not.toContain('content-length')
    const { request } = asked.at(-1)!
    expect([request.method, request.url, request.headers['x-own'], request.headers.accept]).toEqual([
      ...['GET', '/a?b=c', '1', 'text/plain'],
    ])
    // A page that sent it would have to ask the server before.
    expect(request.headers['user-agent']).not.toBe('wget')
  })

  test.each([
    ['HTTP/1.0 has no chunks', 'GET / HTTP/1.0\r\n\r\n', 'hello guest'],
    ['HEAD has no body', 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n', ''],
    ['204 has no body', 'GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', ''],
  ])('%s', async (_, request, body) => {
    const { text } = await ask(request)
    expect(bodyOf(text)).toBe(body)
  })

  test.each([
    ['with a length', 'Content-Length: 11\r\n\r\nsome=form&x'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nsome=\r\n6;a=b\r\nform&x\r\n0\r\n\r\n'],
    ['that the guest asks leave for', 'Content-Length: 11\r\nExpect: 100-continue\r\n\r\nsome=form&x'],
  ])('a body %s', async (_, rest) => {
    const { text } = await ask(`POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\n${rest}`)
    expect(asked.at(-1)!.body).toBe('some=form&x')
    expect(text.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200')).toBe(rest.includes('Expect'))
    expect(bodyOf(text)).toContain('hello guest')
  })

  test.each([
    [400, 'SSH-2.0-OpenSSH\r\n\r\n'],
    [400, 'GET / HTTP/1.1\r\nno field\r\n\r\n'],
    [400, 'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n'],
    [400, 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n'],
    [400, 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcd'],
    [413, 'POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n'],
    [413, 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n'],
    [431, `GET / HTTP/1.1\r\nA: ${'b'.repeat(70_000)}`],
    [501, 'CONNECT example.org:443 HTTP/1.1\r\n\r\n'],
    [501, 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'],
    [501, 'POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n'],
    [505, 'GET / HTTP/2.0\r\n\r\n'],
  ])('%i for what cannot be passed on', async (status, request) => {
    const before = asked.length
    const { text } = await ask(request)
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} [A-Z]`))
    expect(asked.length).toBe(before)
  })

  test('502 with the reason where the host does not let the page in', async () => {
    const { text } = await ask('GET /x HTTP/1.1\r\nHost: example.org\r\n\r\n', {
      fetch: () => Promise.reject(new TypeError('Failed to fetch')),
    })
    expect(text).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/)
    expect(bodyOf(text)).toMatch(/^The page could not fetch http:\/\/example\.org:\d+\/x: Failed to fetch\. .*\(CORS\)/)
  })

  test('a server that breaks off is no whole answer', async () => {
    const { client, socket } = connect()
    socket.write(latin1('GET /broken HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'))
    await until(() => client.end !== null)
    expect([client.end, client.isEnded]).toEqual(['reset', false])
    expect(client.text).toContain('a part')
  })

  test('a guest that takes nothing gets no more', async () => {
    const { client, socket } = connect()
    socket.pause()
    socket.write(latin1('GET /large HTTP/1.0\r\n\r\n'))
    await until(() => client.text !== '')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(client.text.length).toBeLessThan(1 << 20)
    socket.resume()
    await until(() => client.isEnded)
    expect(bodyOf(client.text).length).toBe(8 << 20)
  })

  test('a connection that the guest gives up ends its request, and is told nothing more', async () => {
    let signal: AbortSignal | undefined
    const { client, socket } = connect(
      {},
      {
        fetch: (_, request) => {
          signal = request.signal
          return new Promise<FetchedResponse>(() => {})
        },
      },
    )
    socket.write(latin1('GET / HTTP/1.1\r\n\r\n'))
    socket.abort()
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect([signal?.aborted, client.isConnected, client.end, client.text]).toEqual([true, false, null, ''])
  })

  describe('what requests hold together', () => {
    const never: FetchSocketsOptions = { fetch: () => new Promise<FetchedResponse>(() => {}) }
    const half = latin1(`POST / HTTP/1.1\r\nContent-Length: ${16 << 20}\r\n\r\n${'x'.repeat(15 << 20)}`)
    const whole = latin1(`POST / HTTP/1.1\r\nContent-Length: ${16 << 20}\r\n\r\n${'x'.repeat(16 << 20)}`)
    const send = (sockets: ReturnType<typeof fetchSockets>, bytes: Uint8Array) => {
      const client = new Client()
      const socket = sockets.connectTcp({ address: '127.0.0.1', port }, client)
      socket.write(bytes)
      return { client, socket }
    }

    test('is given back by requests that the guest cuts off', () => {
      const sockets = fetchSockets(never)
      for (let i = 0; i < 8; i++) {
        const { client, socket } = send(sockets, half)
        expect(client.text).toBe('')
        socket.end()
      }
    })

    test('counts bodies that the server has not taken yet', () => {
      const sockets = fetchSockets(never)
      const sent = Array.from({ length: 5 }, () => send(sockets, whole))
      expect(sent.map(({ client }) => client.text.slice(9, 12))).toEqual(['', '', '', '', '503'])
      for (const { socket } of sent.slice(0, 1)) socket.abort()
      expect(send(sockets, whole).client.text).toBe('')
    })
  })

  test('fields of an answer keep their bytes', async () => {
    const { text } = await ask('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', {
      fetch: async () => new Response('', { statusText: 'Tr\u00e8s bien', headers: { 'x-own': 'caf\u00e9' } }),
    })
    expect(text).toMatch(/^HTTP\/1\.1 200 Tr\u00e8s bien\r\n/)
    expect(text).toContain('\r\nx-own: caf\u00e9\r\n')
  })

  test("a guest's own TLS is refused, and reported with the name that it has asked for", async () => {
    const refused: RefusedConnection[] = []
    const sockets = fetchSockets({ onRefused: (one) => refused.push(one) })
    const [address = ''] = (await sockets.lookup('Example.org'))!
    const [https, other] = [new Client(), new Client()]
    sockets.connectTcp({ address, port: 443 }, https)
    sockets.connectTcp({ address, port: 8443 }, other).write(Uint8Array.of(22, 3, 1, 2, 0))
    await until(() => https.end !== null && other.end !== null)
    expect([https.end, other.end]).toEqual(['refused', 'reset'])
    expect(refused).toEqual([443, 8443].map((at) => ({ host: 'example.org', port: at, reason: 'tls' })))
  })

  test.each([
    // [what the guest asks for, the field Host, secure page, what is fetched]
    ['example.org', 80, 'example.org', false, 'http://example.org/x'],
    ['example.org', 80, 'other.example.org', false, 'http://other.example.org/x'],
    ['example.org', 80, undefined, true, 'https://example.org/x'],
    ['example.org', 8080, 'example.org:8080', true, 'http://example.org:8080/x'],
    ['example.org', 80, 'user@evil/?', false, 'http://example.org/x'],
    ['127.0.0.1', 80, '10.0.2.2', true, 'http://127.0.0.1/x'],
    ['192.0.2.1', 81, '10.0.2.2:81', false, 'http://192.0.2.1:81/x'],
  ])('%s port %i with Host %s goes to the right address', async (name, at, host, secure, expected) => {
    const urls: string[] = []
    const sockets = fetchSockets({
      secure,
      fetch: (url) => {
        urls.push(url)
        return new Promise<FetchedResponse>(() => {})
      },
    })
    const [address = name] = (await sockets.lookup(name)) ?? []
    const socket = sockets.connectTcp({ address, port: at }, new Client())
    socket.write(latin1(`GET /x HTTP/1.1\r\n${host === undefined ? '' : `Host: ${host}\r\n`}\r\n`))
    expect(urls).toEqual([expected])
    socket.abort()
  })

  test('an address that stands for no name any more is said', async () => {
    const client = new Client()
    fetchSockets().connectTcp({ address: '198.18.7.7', port: 80 }, client).write(latin1('GET / HTTP/1.0\r\n\r\n'))
    await until(() => client.isEnded)
    expect(client.text).toContain('look it up again')
  })

  test('a page waits for no connections, and has no datagrams', async () => {
    const sockets = fetchSockets()
    await expect(sockets.listenTcp({ address: '127.0.0.1', port: 0 }, () => new Client())).rejects.toThrow(NetworkError)
    await expect(sockets.bindUdp({ address: '127.0.0.1', port: 0 }, () => {})).rejects.toThrow(NetworkError)
    sockets.openUdp(() => {}).send({ address: '127.0.0.1', port: 1 }, new Uint8Array())
    expect(await sockets.lookup('no name')).toBe(null)
    expect(await sockets.lookup('bad..name')).toBe(null)
  })
})

test('names keep their addresses until many others have come', () => {
  const names = new SyntheticNames()
  const first = names.addressOf('a.test')
  expect([first, names.addressOf('a.test'), names.nameOf(first)]).toEqual(['198.18.0.1', '198.18.0.1', 'a.test'])
  for (let i = 0; i < 65_536; i++) names.addressOf(`${i}.test`)
  expect(names.nameOf(first)).toBe('65535.test')
  expect(names.addressOf('a.test')).not.toBe(first)
})

test.each([
  ['198.18.0.0', false],
  ['198.18.0.1', true],
  ['198.18.255.255', true],
  ['198.19.0.0', true],
  ['198.19.0.1', false],
  ['198.17.255.255', false],
  ['a.test', false],
])('%s may only stand for a name: %s', (address, isSynthetic) => {
  const names = new SyntheticNames()
  expect(names.isSynthetic(address)).toBe(isSynthetic)
  expect(names.nameOf(address)).toBe(undefined)
})

test('many small chunks, and many empty lines, cost little', () => {
  const parser = new HttpRequestParser()
  parser.push(Buffer.from('\r\n'.repeat(1 << 16), 'latin1'))
  parser.push(latin1('POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'))
  const piece = latin1('1\r\na\r\n'.repeat(10_000))
  for (let i = 0; i < 20; i++) parser.push(piece)
  expect(parser.heldBytes).toBeLessThan(1 << 20)
  parser.push(latin1('0\r\n\r\n'))
  expect(parser.request?.body.length).toBe(200_000)
})
