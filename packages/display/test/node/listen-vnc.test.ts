import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DisplayRectangle } from '@retrap/device'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Keyboard, Mouse, Screen, VncServer, type VncServerOptions } from '../../src/index.ts'
import { listenVnc, type VncListener, type VncListenOptions, zlibCompressor } from '../../src/node/index.ts'
import { readPng } from '../support/read-png.ts'

const ZRLE = 16
const hasCapture = hasProgram('gvnccapture')

/** A screen with a picture of many colours. */
function picture(width: number, height: number): Screen {
  const screen = new Screen()
  const pixels = Uint32Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)]
    // Gradients, stripes and noise.
    if (y < height / 3) return ((x & 255) << 16) | ((y & 255) << 8) | 0x40
    return y < height / 2 ? ((x >> 4) & 1) * 0xff_ffff : (Math.imul(i + 1, 0x9e37_79b1) >>> 8) & 0xff_ffff
  })
  const all: DisplayRectangle[] = [{ x: 0, y: 0, width, height }]
  screen.connect({ refresh: () => screen.draw(new Uint8Array(pixels.buffer), all), update: () => {} })
  screen.setMode({ width, height, stride: 4 * width, format: 'bgrx8888' })
  screen.refresh()
  return screen
}

let listener: VncListener | undefined
afterEach(async () => {
  await listener?.close()
  listener = undefined
})

async function listen(options: VncListenOptions = {}, more: Partial<VncServerOptions> = {}): Promise<VncServer> {
  const server = new VncServer({ screen: picture(30, 20), keyboard: new Keyboard(), mouse: new Mouse(), ...more })
  listener = await listenVnc(server, { port: 0, ...options })
  return server
}

/** Has clients ask for an encoding where they ask for ZRLE: gvnccapture reads Tight, and does not ask for it. */
function wantInstead(server: VncServer, encoding: number): void {
  const connectClient = server.connect.bind(server)
  server.connect = (transport) => {
    const connection = connectClient(transport)
    return {
      close: () => connection.close(),
      receive(bytes) {
        const changed = Buffer.from(bytes)
        const at = changed.indexOf(Uint8Array.of(0, 0, 0, ZRLE))
        if (at >= 4) changed.writeInt32BE(encoding, at)
        connection.receive(changed)
      },
    }
  }
}

/** The first bytes that a port sends; empty if it closes the connection instead. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('data', (bytes) => {
      resolve(bytes.toString('latin1'))
      socket.destroy()
    })
    socket.once('close', () => resolve(''))
  })
}

describe.runIf(hasCapture)(`gvnccapture${skipNote(hasCapture, 'it cannot be fetched')}`, () => {
  test.each([
    { width: 640, height: 480, encoding: 'raw', server: {}, wanted: 16 },
    { width: 721, height: 401, encoding: 'ZRLE', server: { createCompressor: zlibCompressor }, wanted: 16 },
    { width: 721, height: 401, encoding: 'Tight', server: { createCompressor: zlibCompressor }, wanted: 7 },
  ])('sees $width × $height by $encoding as the screen has them', async ({ width, height, server, wanted }) => {
    const screen = picture(width, height)
    wantInstead(await listen({}, { screen, ...server }), wanted)
    const folder = temporaryFolder('vnc')
    const file = join(folder, 'picture.png')
    // It counts displays from port 5900.
    await promisify(execFile)('gvnccapture', ['-q', `127.0.0.1:${listener!.port - 5900}`, file], { timeout: 60_000 })
    const seen = readPng(readFileSync(file))
    expect([seen.width, seen.height]).toEqual([width, height])
    expect(Buffer.compare(Buffer.from(seen.pixels.buffer), Buffer.from(screen.pixels.buffer))).toBe(0)
  })
})

describe('TCP', () => {
  test('clients come and go', async () => {
    const server = await listen()
    expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
    await expect.poll(() => server.clients).toBe(0)
    expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
  })

  test('small messages go at once: the host does not collect them', async () => {
    await listen()
    const setNoDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
    try {
      expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
      expect(setNoDelay.mock.calls).toEqual([[true]])
    } finally {
      setNoDelay.mockRestore()
    }
  })

  test('random bytes end one connection, and a lost one is no failure', async () => {
    const server = await listen()
    const socket = connect(listener!.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    socket.write(Buffer.alloc(100, 0x5a))
    await new Promise((resolve) => socket.once('close', resolve))
    const lost = connect(listener!.port, '127.0.0.1')
    await new Promise((resolve) => lost.once('data', resolve))
    lost.resetAndDestroy()
    await expect.poll(() => server.clients).toBe(0)
    expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
  })

  test('a port that is taken is an error', async () => {
    const server = await listen()
    await expect(listenVnc(server, { port: listener!.port })).rejects.toThrow('VNC cannot listen on 127.0.0.1:')
  })

  test('nobody is let in from elsewhere without a password, unless that is asked for', async () => {
    await expect(listen({ host: '0.0.0.0' })).rejects.toThrow(
      'host 0.0.0.0: anybody could connect: expected a password',
    )
    await listen({ host: '0.0.0.0', allowAnybody: true })
    expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
    await listener!.close()
    await listen({ host: '0.0.0.0' }, { password: 'secret' })
    expect(await greeting(listener!.port)).toBe('RFB 003.008\n')
  })
})

describe('WebSockets', () => {
  const open = async (origin?: string, headers = {}): Promise<string> => {
    const given = origin === undefined ? { headers } : { origin }
    const socket = new WebSocket(`ws://127.0.0.1:${listener!.webSocketPort}/`, given)
    try {
      return await new Promise((resolve) => {
        socket.on('message', (data: Buffer) => resolve(data.toString('latin1')))
        socket.on('error', (error) => resolve(error.message))
      })
    } finally {
      socket.terminate()
    }
  }

  test('carry the same, in binary messages', async () => {
    const server = await listen({ webSocketPort: 0 })
    const socket = new WebSocket(`ws://127.0.0.1:${listener!.webSocketPort}/`)
    let bytes = Buffer.alloc(0)
    socket.on('message', (data: Buffer) => {
      const before = bytes.length
      bytes = Buffer.concat([bytes, data])
      if (before < 12 && bytes.length >= 12) socket.send(Buffer.from('RFB 003.008\n'))
      if (before < 14 && bytes.length >= 14) socket.send(Buffer.from([1]))
      if (before < 18 && bytes.length >= 18) socket.send(Buffer.from([1]))
    })
    // Width and height follow the version, the security types and their result.
    await expect.poll(() => bytes.length).toBeGreaterThanOrEqual(22)
    expect([bytes.readUInt16BE(18), bytes.readUInt16BE(20)]).toEqual([30, 20])
    socket.close()
    await expect.poll(() => server.clients).toBe(0)
  })

  test.each([
    [1 << 20, false],
    [(1 << 20) + 1, true],
  ])('with a message of %d bytes: it is too large: %s', async (bytes, isTooLarge) => {
    await listen({ webSocketPort: 0 })
    const socket = new WebSocket(`ws://127.0.0.1:${listener!.webSocketPort}/`)
    socket.on('message', () => {})
    socket.on('open', () => socket.send(new Uint8Array(bytes)))
    const code = await new Promise((resolve) => socket.once('close', resolve))
    // RFC 6455 §7.4.1.
    expect(code === 1009).toBe(isTooLarge)
  })

  test('that nobody has opened yet do not keep the port, and other requests are answered', async () => {
    await listen({ webSocketPort: 0 })
    const url = `http://127.0.0.1:${listener!.webSocketPort}/`
    expect((await fetch(url)).status).toBe(426)
    // As browsers do in advance.
    const idle = connect(listener!.webSocketPort!, '127.0.0.1')
    idle.on('error', () => {})
    const closed = new Promise((resolve) => idle.once('close', resolve))
    await new Promise((resolve) => idle.once('connect', resolve))
    await expect(fetch(url)).resolves.toBeDefined()
    await listener!.close()
    await closed
    await expect(fetch(url)).rejects.toThrow()
  })

  test('of a page from elsewhere are refused where there is no password', async () => {
    await listen({ webSocketPort: 0 })
    expect(await open('http://localhost:8080')).toBe('RFB 003.008\n')
    expect(await open('https://example.org')).toContain('401')
    // A page whose own name leads here.
    expect(await open(undefined, { host: 'evil.test:5700' })).toContain('421')
    await listener!.close()
    await listen({ webSocketPort: 0 }, { password: 'secret' })
    expect(await open('https://example.org')).toBe('RFB 003.008\n')
  })
})
