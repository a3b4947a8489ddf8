/** QMP and the monitor by sockets, with a client written by QEMU's specification (docs/interop/qmp-spec.rst) alone. */
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, describe, expect, test } from 'vitest'
import { runCli } from '../../src/cli.ts'
import { JsonStream } from '../../src/machine/monitor/qmp.ts'
import { peerOf } from '../../src/machine/monitor/monitor-sockets.ts'
import { FakeHost } from '../support/fake-machine.ts'

const folder = temporaryFolder('qmp')
const sockets: Socket[] = []
afterEach(() => sockets.splice(0).forEach((socket) => socket.destroy()))

/** A machine that runs until it is stopped. */
function start(...options: string[]) {
  const host = new FakeHost(() => new Promise(() => {}))
  host.stdout.isTTY = true
  const ended = runCli(options, host)
  const place = async (what: string): Promise<string> => {
    for (;;) {
      const found = new RegExp(`${what} listens on (\\S+)`).exec(host.stderr.text)?.[1]
      if (found !== undefined) return found
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  return { host, ended, place }
}

async function connect(place: string): Promise<Socket> {
  const [host, port] = place.split(':')
  const socket = port === undefined ? createConnection(place) : createConnection(Number(port), host)
  sockets.push(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A client of QMP: answers in order, and events beside them. */
async function client(place: string) {
  const socket = await connect(place)
  let text = ''
  const messages: Record<string, unknown>[] = []
  const events: unknown[] = []
  let wake = (): void => {}
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    const lines = text.split('\r\n')
    text = lines.pop()!
    for (const line of lines) {
      const message = JSON.parse(line) as Record<string, unknown>
      if ('event' in message) events.push([message['event'], message['data']])
      else messages.push(message)
    }
    wake()
  })
  const next = async (): Promise<Record<string, unknown>> => {
    while (messages.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return messages.shift()!
  }
  const ask = async (name: string, given?: object): Promise<unknown> => {
    socket.write(JSON.stringify({ execute: name, id: name, ...(given && { arguments: given }) }))
    const { id, ...answer } = await next()
    expect(id).toBe(name)
    return 'return' in answer ? answer['return'] : answer['error']
  }
  return { socket, greeting: await next(), next, ask, events }
}

describe('QMP', () => {
  test('greets, negotiates, answers what tools ask first, and tells of events', async () => {
    const uuid = '5f3e9a2c-1d2b-4c3d-8e9f-0a1b2c3d4e5f'
    const { ended, place } = start('--qmp', 'tcp:0', '--paused', '--cpus', '2', '--smbios', `type=1,uuid=${uuid}`)
    const { ask, greeting, next, events, socket } = await client(await place('QMP'))
    expect(greeting).toMatchObject({ QMP: { version: { qemu: { major: 7 } }, capabilities: [] } })
    expect(await ask('query-status')).toMatchObject({ class: 'CommandNotFound' })
    expect(await ask('qmp_capabilities', { enable: [] })).toEqual({})
    expect(await ask('query-status')).toEqual({ status: 'prelaunch', running: false, singlestep: false })
    expect(await ask('cont')).toEqual({})
    expect(await ask('query-status')).toMatchObject({ status: 'running', running: true })
    const names = (await ask('query-commands')) as { name: string }[]
    expect(names.length).toBeGreaterThanOrEqual(35)
    const queries = names
      .map(({ name }) => name)
      .filter((name) => name.startsWith('query-') && name !== 'query-balloon')
    for (const name of queries) expect([name, await ask(name)]).not.toMatchObject([name, { class: expect.anything() }])
    expect(await ask('query-uuid')).toEqual({ UUID: uuid })
    expect(await ask('query-cpus-fast')).toMatchObject([{ 'cpu-index': 0 }, { 'cpu-index': 1, target: 'x86_64' }])
    expect(await ask('human-monitor-command', { 'command-line': 'info status' })).toBe('VM status: running\r\n')
    expect(await ask('query-nothing')).toEqual({
      class: 'CommandNotFound',
      desc: 'The command query-nothing has not been found',
    })
    expect(await ask('eject', {})).toEqual({ class: 'GenericError', desc: "Parameter 'device' is missing" })
    expect(await ask('device_del', { id: 'x' })).toMatchObject({ class: 'GenericError' })
    // Nothing between two commands, and a text that is no JSON in between: answers come in order.
    socket.write('{"execute":"stop","id":1}{"execute":"query-status","id":2}\n{oops}\n{"execute":"cont","id":3,"x":1}')
    expect([await next(), await next()]).toMatchObject([{ id: 1 }, { id: 2, return: { status: 'paused' } }])
    expect([await next(), await next()]).toMatchObject([{ error: { desc: /JSON/ } }, { id: 3, error: { desc: /'x'/ } }])
    expect(await ask('quit')).toEqual({})
    await once(socket, 'close')
    expect([await ended, events]).toEqual([
      0,
      [
        ['RESUME', undefined],
        ['STOP', undefined],
        ['SHUTDOWN', { guest: false, reason: 'host-qmp-quit' }],
      ],
    ])
  })

  test('a reset starts the machine again, also while it stands still', async () => {
    const { host, ended, place } = start('--qmp', `unix:${join(folder, 'qmp')}`, '--pidfile', join(folder, 'pid'))
    const { ask, events } = await client(await place('QMP'))
    expect(readFileSync(join(folder, 'pid'), 'utf8')).toBe(`${process.pid}\n`)
    await ask('qmp_capabilities')
    for (const before of ['query-status', 'stop']) {
      await ask(before)
      const count = host.resets
      await ask('system_reset')
      while (host.resets === count) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await ask('query-status')).toMatchObject({ status: 'paused' })
    await ask('system_powerdown')
    expect(host.pressed).toBe(1)
    await ask('quit')
    expect(await ended).toBe(0)
    expect(events.map((event) => (event as unknown[])[0])).toEqual(['RESET', 'STOP', 'RESET', 'POWERDOWN', 'SHUTDOWN'])
  })

  test.each([
    ['a browser’s request', 'POST / HTTP/1.1\r\n\r\n{"execute":"qmp_capabilities"}{"execute":"quit"}'],
    ['a command without an end', `{"execute":"${'x'.repeat(1 << 20)}`],
    ['one that is too deep', '['.repeat(100) + '\n{'.repeat(100)],
  ])('%s ends its connection, and no more', async (_what, text) => {
    const { ended, place } = start('--qmp', 'tcp:0')
    const at = await place('QMP')
    const bad = await connect(at)
    bad.resume().write(text.startsWith('[') ? ` ${text}` : text)
    await once(bad, 'close')
    const { ask } = await client(at)
    await ask('qmp_capabilities')
    await ask('quit')
    expect(await ended).toBe(0)
  })

  test('a client that sends on and on while a command takes its time is left', () => {
    const ended: string[] = []
    const socket = Object.assign(new EventEmitter(), { destroy: () => void ended.push('destroyed') })
    peerOf(socket as unknown as Socket).onData(() => new Promise(() => {}))
    for (let i = 0; i < 256; i++) socket.emit('data', new Uint8Array(1))
    expect(ended).toEqual([])
    socket.emit('data', new Uint8Array(1))
    expect(ended).toEqual(['destroyed'])
  })

  test('a stream of JSON may be cut anywhere', () => {
    const values = [{ a: '}"\\{' }, { b: [{ c: {} }] }, { d: 'ü' }]
    const bytes = new TextEncoder().encode(values.map((value) => JSON.stringify(value)).join(' '))
    for (let cut = 0; cut <= bytes.length; cut++) {
      const stream = new JsonStream()
      expect([...stream.push(bytes.subarray(0, cut)), ...stream.push(bytes.subarray(cut))]).toEqual(values)
    }
  })
})

describe('the monitor', () => {
  test('answers lines at a socket, each with the prompt that scripts wait for', async () => {
    const { ended, place } = start('--monitor', 'tcp:0')
    const socket = await connect(await place('the monitor'))
    let text = ''
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    socket.write('info status\nstop\r\ninfo status\nnonsense\nq\n')
    await once(socket, 'close')
    expect(text.split('(qemu) ').slice(1, 5)).toEqual([
      'VM status: running\r\n',
      '',
      'VM status: paused\r\n',
      expect.stringContaining("there is no command 'nonsense'"),
    ])
    expect(await ended).toBe(0)
  })

  test('on the terminal Ctrl-A c goes there, for one command after another, and back', async () => {
    const { host, ended } = start('--monitor', 'stdio')
    while (host.created.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const type = async (text: string): Promise<void> => {
      host.stdin.emit('data', new TextEncoder().encode(text))
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    await type('a\u0001cinfo status\nstop\ninfo status\n\u0001cb\u0001cinfo version\n')
    await type('quit\n')
    expect(await ended).toBe(0)
    expect(host.stderr.text).toMatch(
      /\(qemu\) info status\r\nstop\r\ninfo status\r\n[^]*running[^]*paused[^]*\(qemu\) /,
    )
    expect(host.stderr.text.match(/VM status/g)).toHaveLength(2)
  })
})
