import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { connect, type NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import { OwnTime } from '@retrap/tooling/processor-time'
import { skipNote } from '@retrap/tooling/skip'
import { setTimeout } from 'node:timers/promises'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openFarEnd, type FarEnd } from '../../src/machine/serial/far-end.ts'
import type { SerialTarget } from '../../src/options/values.ts'

const hasSocat = spawnSync('socat', ['-V']).status === 0

let folder = ''
let end: FarEnd | undefined
beforeEach(() => (folder = temporaryFolder('serial')))
afterEach(() => end?.close())

/** Opens a far end; returns it with what it said and what it has received. */
async function opened(target: Exclude<SerialTarget, { kind: 'stdio' }>) {
  let said = ''
  const pieces: Buffer[] = []
  const say = { write: (text: string | Uint8Array) => (said += String(text)), on: () => {} }
  end = await openFarEnd(target, 'serial port 2', say)
  const takes = { all: true }
  end.onReceive((bytes) => {
    pieces.push(Buffer.from(bytes))
    return takes.all
  })
  return { end, said: () => said, received: () => Buffer.concat(pieces).toString(), takes }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

describe.each<[string, () => SerialTarget, RegExp, (said: string) => NetConnectOpts]>([
  [
    'tcp',
    () => ({ kind: 'tcp', host: '127.0.0.1', port: 0 }),
    /^retrap: serial port 2 listens on 127\.0\.0\.1:\d+\n$/,
    (said) => ({ host: '127.0.0.1', port: Number(/:(\d+)\n/.exec(said)?.[1]) }),
  ],
  [
    'unix',
    () => ({ kind: 'unix', path: join(folder, 'port') }),
    /^retrap: serial port 2 listens on .*\/port\n$/,
    () => ({ path: join(folder, 'port') }),
  ],
])('a serial port on %s', (_kind, target, line, address) => {
  test('carries bytes both ways, to one program after the other', async () => {
    const { end: port, said, received } = await opened(target() as Exclude<SerialTarget, { kind: 'stdio' }>)
    expect(said()).toMatch(line)
    port.write(text('lost'))
    for (const name of ['one', 'two']) {
      const client = connect(address(said()))
      let got = ''
      client.setEncoding('utf8').on('data', (more: string) => (got += more))
      client.write(`from ${name};`)
      await expect.poll(() => received()).toContain(`from ${name};`)
      port.write(text(`to ${name}`))
      await expect.poll(() => got).toBe(`to ${name}`)
      client.destroy()
      await once(client, 'close')
      await expect.poll(() => port.writableLength).toBe(0)
    }
    expect(received()).toBe('from one;from two;')
  })

  test('refuses a second program while one is connected', async () => {
    const { end: port, said, received } = await opened(target() as Exclude<SerialTarget, { kind: 'stdio' }>)
    const first = connect(address(said()))
    first.write('x')
    await expect.poll(() => received()).toBe('x')
    const second = connect(address(said()))
    second.on('error', () => {})
    await once(second, 'close')
    first.destroy()
    expect(port.writableLength).toBe(0)
  })

  test('has programs wait while the guest takes nothing', async () => {
    const { end: port, said, received, takes } = await opened(target() as Exclude<SerialTarget, { kind: 'stdio' }>)
    takes.all = false
    const client = connect(address(said()))
    const most = 8 << 20
    client.write(Buffer.alloc(most, 'x'))
    await expect.poll(() => received().length).toBeGreaterThan(0)
    const first = received().length
    await setTimeout(200)
    expect(received().length).toBe(first)
    expect(client.writableLength).toBeGreaterThan(most / 2)
    takes.all = true
    port.resume()
    await expect.poll(() => received().length).toBe(most)
    client.destroy()
  })

  test('counts what a program does not read, and closes without waiting for it', async () => {
    const { end: port, said, received } = await opened(target() as Exclude<SerialTarget, { kind: 'stdio' }>)
    const client = connect(address(said()))
    client.pause()
    client.write('x')
    await expect.poll(() => received()).toBe('x')
    for (let i = 0; i < 200; i++) port.write(new Uint8Array(1 << 16))
    expect(port.writableLength).toBeGreaterThan(1 << 20)
    const time = new OwnTime()
    await port.close()
    expect(time.milliseconds()).toBeLessThan(5000)
    client.destroy()
  })
})

test('a serial port whose address is taken is an error that names it', async () => {
  await writeFile(join(folder, 'port'), '')
  await expect(opened({ kind: 'unix', path: join(folder, 'port') })).rejects.toThrow(
    'serial port 2 cannot listen: it is in use already',
  )
})

test('a serial port in a file keeps all that was sent', async () => {
  const { end: port } = await opened({ kind: 'file', path: join(folder, 'log') })
  port.write(text('one '))
  port.write(text('two'))
  await port.close()
  expect(await readFile(join(folder, 'log'), 'utf8')).toBe('one two')
})

test.skipIf(!existsSync('/dev/full'))('a file that cannot be written any more is reported', async () => {
  const { end: port } = await opened({ kind: 'file', path: '/dev/full' })
  const failed = new Promise<Error>((resolve) => port.onError(resolve))
  port.write(text('x'))
  expect((await failed).message).toContain('no space left')
})

test.skipIf(!hasSocat)(
  `a serial port on a pty is a terminal${skipNote(hasSocat, 'socat is not installed')}`,
  async () => {
    const { end: port, said, received } = await opened({ kind: 'pty' })
    const path = /^retrap: serial port 2 is (\S+)\n$/.exec(said())?.[1] ?? ''
    const terminal = await open(path, 'r+')
    await terminal.write('typed')
    await expect.poll(() => received()).toBe('typed')
    port.write(text('printed'))
    const { bytesRead, buffer } = await terminal.read(Buffer.alloc(7), 0, 7)
    expect(buffer.subarray(0, bytesRead).toString()).toBe('printed'.slice(0, bytesRead))
    await terminal.close()
  },
)

test('a pty without socat is an error that says what needs nothing', async () => {
  vi.stubEnv('PATH', '/nonexistent')
  await expect(opened({ kind: 'pty' })).rejects.toThrow(
    'pty needs socat, which is not installed; unix:PATH needs nothing',
  )
  vi.unstubAllEnvs()
})
