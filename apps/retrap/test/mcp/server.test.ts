/** `retrap mcp` and the client of the protocol's own SDK, with the embedded guest: tools, limits, and hostile calls. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createQcow2, MemoryStorage } from '@retrap/block'
import { buildGuestImage } from '@retrap/embedded-guest'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type McpServer, startMcp } from '../support/mcp-client.ts'
import { retrapCommand } from '../support/processes.ts'

/** The host may be busy. */
const DEADLINE_MS = 300_000
const SLOW = { timeout: 2 * DEADLINE_MS }
const PROMPT = 'retrap> '

const outside = temporaryFolder('mcp-outside')
const folder = join(outside, 'named')
mkdirSync(join(folder, 'inner'), { recursive: true })
writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
writeFileSync(join(outside, 'secret.bin'), buildGuestImage())
// A folder whose name begins like the named one.
mkdirSync(join(outside, 'named-not'))
writeFileSync(join(outside, 'named-not', 'secret.bin'), buildGuestImage())
// A guest that never waits: JMP to itself, at the reset vector.
const spinning = new Uint8Array(0x1_0000)
spinning.set([0xeb, 0xfe], 0xfff0)
writeFileSync(join(folder, 'spin.bin'), spinning)
// The same as an arm64 Image, whose magic number is at 0x38.
const armSpinning = new Uint32Array(1024)
armSpinning.set([0x1400_0000], 0)
armSpinning.set([armSpinning.byteLength], 4)
armSpinning.set([0x644d_5241], 14)
writeFileSync(join(folder, 'spin-arm.bin'), armSpinning)
writeFileSync(join(folder, 'blank.img'), new Uint8Array(1 << 20))
symlinkSync(join(outside, 'secret.bin'), join(folder, 'link.bin'))
symlinkSync(outside, join(folder, 'up'))
symlinkSync('guest.bin', join(folder, 'inside-link.bin'))

let server: McpServer
beforeAll(async () => {
  // What recordings are written to is looked for below.
  server = await startMcp(
    ['--folder', folder, '--machines', '3', '--memory', '1G', '--call-timeout', '400', '--running', '1'],
    DEADLINE_MS,
  )
}, SLOW.timeout)
afterAll(() => server.client.close())
/** Machines of a test that has failed are not in the way of the next one. */
afterEach(async () => {
  const { data } = await server.call('list_machines')
  for (const { name } of data['machines'] as readonly { readonly name: string }[])
    await server.call('stop', { machine: name })
})

const refusal = async (tool: string, given: Record<string, unknown>): Promise<string> => {
  const { isError, text } = await server.call(tool, given)
  expect(isError, text).toBe(true)
  return text
}

test('a guest boots, is typed to, looked at, kept, and put back', SLOW, async () => {
  const { tools } = await server.client.listTools()
  expect(tools.map(({ name }) => name)).toContain('who_wrote')
  expect(tools.every(({ inputSchema }) => inputSchema.additionalProperties === false)).toBe(true)

  const booted = await server.call('boot', {
    system: 'files',
    firmware: 'inside-link.bin',
    name: 'one',
    memory: '16M',
    until: PROMPT,
    timeoutSeconds: 300,
  })
  expect(booted.text).toContain('retrap: a 64-bit guest, from the reset vector')
  expect((await server.call('type', { machine: 'one', text: 'echo hello\n', until: PROMPT })).text).toMatch(
    /\nhello\nretrap> \none stands still$/,
  )
  const { data } = await server.call('registers', { machine: 'one' })
  expect(data).toMatchObject({ cs: '0x18', efer: '0x500', cr3: '0x1000' })
  // The first entry of the guest's page tables, and by its physical address as well.
  for (const physical of [false, true])
    expect((await server.call('memory', { machine: 'one', address: '0x1000', length: 8, physical })).text).toMatch(
      /^0x1000: 23 20 00 00 00 00 00 00 /,
    )

  await server.call('checkpoint', { machine: 'one' })
  expect((await server.call('type', { machine: 'one', text: 'off\n', until: 'never' })).text).toMatch(
    /^ERR_ENDED.*power-off/,
  )
  expect(await refusal('wait_for', { machine: 'one', text: 'x' })).toMatch(/^ERR_ENDED/)
  expect((await server.call('reset', { machine: 'one' })).text).not.toContain('ended')
  expect((await server.call('type', { machine: 'one', text: 'echo again\n', until: PROMPT })).text).toContain(
    '\nagain\n',
  )

  const fork = await server.call('fork', { machine: 'one', name: 'two' })
  expect(fork.text).toMatch(/^two: .*forked from one/)
  await server.call('type', { machine: 'two', text: 'echo in two\n', until: PROMPT })
  expect((await server.call('console', { machine: 'one' })).text).not.toContain('in two')
  expect((await server.call('console', { machine: 'two' })).text).toContain('in two')
  expect(await refusal('screenshot', { machine: 'one' })).toMatch(/^ERR_STATE.*display std/)

  // A machine that was stopped is none, and its fork goes on.
  await server.call('stop', { machine: 'one' })
  expect(await refusal('console', { machine: 'one' })).toBe('ERR_MACHINE: there is no machine one; there are two')
  expect((await server.call('type', { machine: 'two', text: 'echo alone\n', until: PROMPT })).text).toContain(
    '\nalone\n',
  )
  await server.call('stop', { machine: 'two' })
})

test('a guest that never waits runs in the background, and holds nobody up', SLOW, async () => {
  const nic = 'user,restrict=on,model=e1000'
  await server.call('boot', { system: 'embedded', name: 'idle', memory: '16M', nic, timeoutSeconds: 300 })
  await server.call('boot', { system: 'files', firmware: 'spin.bin', name: 'spin', memory: '16M' })
  const executed = async (): Promise<number> => {
    const { data, text } = await server.call('list_machines')
    const { state, running } = (data['machines'] as Record<string, unknown>[]).find(({ name }) => name === 'spin')!
    expect(text).toContain(running === true ? 'runs in the background' : 'stands still')
    return Number(/at instruction (\d+)/.exec(String(state))![1])
  }
  const isRising = async (): Promise<boolean> => {
    const before = await executed()
    await new Promise((resolve) => setTimeout(resolve, 50))
    return (await executed()) > before
  }
  expect(await isRising()).toBe(false)
  expect((await server.call('resume', { machine: 'spin' })).text).toMatch(/\nspin runs in the background$/)
  await vi.waitUntil(isRising, { timeout: DEADLINE_MS })
  // Others answer, and so does it: it stands still while its processor is looked at.
  expect((await server.call('type', { machine: 'idle', text: 'echo beside\n', until: PROMPT })).text).toMatch(
    /\nbeside\nretrap> \nidle stands still$/,
  )
  expect((await server.call('registers', { machine: 'spin' })).data).toMatchObject({ rip: '0xfff0' })
  expect(await isRising()).toBe(true)
  expect((await server.call('fork', { machine: 'spin', name: 'twin' })).text).toMatch(/\ntwin stands still$/)
  for (const machine of ['twin', 'idle'])
    expect(await refusal('resume', { machine })).toMatch(/^ERR_LIMIT: spin run in the background/)
  expect((await server.call('pause', { machine: 'spin' })).text).toMatch(/\nspin stands still$/)
  expect(await isRising()).toBe(false)

  // By itself, at the end of its time, and with the machine.
  await server.call('resume', { machine: 'twin', seconds: 1 })
  await vi.waitUntil(async () => !(await server.call('list_machines')).text.includes('runs in'), {
    timeout: DEADLINE_MS,
    interval: 200,
  })
  await server.call('resume', { machine: 'spin' })
  await server.call('stop', { machine: 'spin' })
  expect((await server.call('resume', { machine: 'twin' })).isError).toBe(false)
  expect((await server.call('forward', { machine: 'twin', port: 80, timeoutSeconds: 0.2 })).text).toMatch(
    /^ERR_GUEST: no agent.*\ntwin runs in the background$/,
  )
})

test('an Arm board starts a kernel of a file, runs, is forked and put back', SLOW, async () => {
  const given = { system: 'files', board: 'virt', kernel: 'spin-arm.bin', disks: ['blank.img'], memory: '32M' }
  expect((await server.call('boot', { ...given, name: 'arm' })).text).toMatch(/^arm: spin-arm\.bin, blank\.img, 32 MiB/)
  const { data } = await server.call('registers', { machine: 'arm' })
  expect(await server.call('run', { machine: 'arm', seconds: 0.1 })).toMatchObject({ isError: false })
  expect((await server.call('registers', { machine: 'arm' })).data['pc']).toBe(data['pc'])
  // The instruction there: B to itself.
  expect((await server.call('memory', { machine: 'arm', address: data['pc'] as string, length: 4 })).text).toMatch(
    /: 00 00 00 14 /,
  )
  await server.call('checkpoint', { machine: 'arm' })
  await server.call('resume', { machine: 'arm' })
  expect((await server.call('fork', { machine: 'arm', name: 'twin' })).text).toMatch(/\ntwin stands still$/)
  expect((await server.call('run', { machine: 'twin', seconds: 0.1 })).isError).toBe(false)
  expect((await server.call('reset', { machine: 'arm' })).text).toMatch(/\narm runs in the background$/)
  expect(await refusal('exec', { machine: 'twin', command: 'x', timeoutSeconds: 0.2 })).toContain('/dev/vport0p1')
  await server.call('stop', { machine: 'twin' })
  // A recorded one from power-on, and a recorded fork.
  expect((await server.call('boot', { ...given, name: 'past', record: true })).text).toMatch(/\npast stands still$/)
  expect((await server.call('fork', { machine: 'arm', name: 'branch', record: true })).text).toMatch(
    /\nbranch stands still$/,
  )
  for (const machine of ['past', 'branch']) {
    await server.call('run', { machine, seconds: 0.1 })
    const now = /at instruction (\d+)/.exec((await server.call('go_to', { machine })).text)?.[1]
    await server.call('go_to', { machine, instruction: Number(now) - 2 })
    const shown = await server.call('registers', { machine })
    expect([shown.data['pc'], shown.text]).toEqual([data['pc'], expect.stringContaining('its past at instruction')])
    const image = { machine, address: data['pc'], physical: true }
    expect((await server.call('who_wrote', image)).data).toMatchObject({ by: 'nobody' })
  }
})

test('a recorded guest is shown at any instruction, and says who wrote an address', SLOW, async () => {
  const recordings = (): number =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('retrap-mcp-') && !outside.endsWith(name)).length
  const before = recordings()
  await server.call('boot', { system: 'embedded', name: 'run', memory: '16M', record: true, timeoutSeconds: 300 })
  expect(recordings()).toBe(before + 1)
  const wrote = await server.call('who_wrote', { machine: 'run', address: '0x1000', physical: true })
  expect(wrote.data).toMatchObject({ by: 'instruction', cpu: 0 })
  const { instructions, address } = wrote.data as { readonly instructions: number; readonly address: string }
  // The processor's walk has set the entry's accessed bit: it is not set before that instruction.
  const shownAt = async (instruction: number): Promise<string> => {
    await server.call('go_to', { machine: 'run', instruction })
    return (await server.call('memory', { machine: 'run', address: '0x1000', length: 4, physical: true })).text
  }
  expect(await shownAt(instructions)).toMatch(/^0x1000: 03 20 00 00 /)
  expect((await server.call('registers', { machine: 'run' })).text).toContain(`its past at instruction ${instructions}`)
  expect(BigInt((await server.call('registers', { machine: 'run' })).data['rip'] as string) % 0x1_0000n).toBe(
    BigInt(address) % 0x1_0000n,
  )
  expect(await shownAt(instructions + 1)).toMatch(/^0x1000: 23 20 00 00 /)
  // Without a number, and for what runs it, it is shown where it is.
  expect((await server.call('go_to', { machine: 'run' })).isError).toBe(false)
  expect((await server.call('list_machines')).text).not.toContain('its past')
  await shownAt(instructions)
  expect((await server.call('type', { machine: 'run', text: 'echo now\n', until: PROMPT })).text).toMatch(
    /\nnow\nretrap> \nrun stands still$/,
  )
  expect((await server.call('list_machines')).text).not.toContain('its past')
  expect(await refusal('fork', { machine: 'run' })).toMatch(/^ERR_STATE/)
  expect(await refusal('resume', { machine: 'run' })).toMatch(/^ERR_STATE: run is recorded, and runs in calls alone/)
  expect(await refusal('forward', { machine: 'run', port: 80 })).toMatch(/^ERR_STATE: run is recorded/)
  expect(await refusal('who_wrote', { machine: 'run', address: '0x7fffffffffff', physical: true })).toMatch(/no memory/)
  await server.call('stop', { machine: 'run' })
  expect(recordings()).toBe(before)
})

test.each([
  ['a file outside, by its path', { firmware: join(outside, 'secret.bin') }],
  ['a file outside, by a relative path', { firmware: '../secret.bin' }],
  ['a link that leads outside', { firmware: 'link.bin' }],
  ['a folder that is a link outside', { firmware: 'up/secret.bin' }],
  ['a folder whose name begins alike', { firmware: '../named-not/secret.bin' }],
  ['a file that is not there', { firmware: 'nothing' }],
  ['a URL', { disks: ['http://127.0.0.1:1/disk'] }],
  ['a device', { disks: ['/dev/zero'] }],
  ['a folder', { kernel: 'inner' }],
])('%s is not opened', SLOW, async (_, files) => {
  expect(await refusal('boot', { system: 'files', ...files })).toMatch(/^ERR_PATH/)
})

test('an image that names a file below it is not opened, nor is a pipe', SLOW, async () => {
  const image = new MemoryStorage(new Uint8Array(1 << 20))
  await createQcow2(image, { bytes: 1 << 20, backing: { name: join(outside, 'secret.bin'), format: 'raw' } })
  const bytes = new Uint8Array(image.bytes)
  await image.read(0, bytes)
  writeFileSync(join(folder, 'below.qcow2'), bytes)
  expect(await refusal('boot', { system: 'files', disks: ['below.qcow2'] })).toMatch(/^ERR_PATH.*retrap image convert/)
  if (spawnSync('mkfifo', [join(folder, 'pipe')]).status === 0)
    expect(await refusal('boot', { system: 'files', kernel: 'pipe' })).toMatch(/^ERR_PATH.*no regular file/)
})

test.each([
  ['an unknown machine', 'exec', { machine: 'nobody', command: 'x' }, /^ERR_MACHINE/],
  ['an unknown tool', 'no_such_tool', {}, /^ERR_ARGUMENT/],
  ['an argument that there is not', 'boot', { system: 'embedded', net: 'tap' }, /^ERR_ARGUMENT/],
  ['more time than there is', 'wait_for', { machine: 'x', text: 'y', timeoutSeconds: 1e9 }, /^ERR_ARGUMENT.*400/s],
  ['no time', 'wait_for', { machine: 'x', text: 'y', timeoutSeconds: -1 }, /^ERR_ARGUMENT/],
  ['more memory than there is', 'boot', { system: 'embedded', memory: '2G' }, /^ERR_LIMIT/],
  ['a size that is none', 'boot', { system: 'embedded', memory: 'much' }, /--memory 'much'/],
  ['a name that is a path', 'boot', { system: 'embedded', name: '../x' }, /^ERR_ARGUMENT/],
  ['too many processors', 'boot', { system: 'embedded', cpus: 1000 }, /^ERR_ARGUMENT/],
  ['a file for a system that has its own', 'boot', { system: 'embedded', disks: ['guest.bin'] }, /^ERR_ARGUMENT/],
  ['a network that reaches the host', 'boot', { system: 'embedded', nic: 'user' }, /^ERR_ARGUMENT.*--allow-network/],
  ['a port of the host', 'boot', { system: 'embedded', nic: 'user,hostfwd=tcp::0-:22,restrict=on' }, /hostfwd/],
  [
    'a service of the host',
    'boot',
    { system: 'embedded', nic: 'user,guestfwd=tcp:10.0.2.9:80-tcp:127.0.0.1:22,restrict=on' },
    /guestfwd/,
  ],
  ['files of the host', 'boot', { system: 'embedded', nic: 'user,tftp=/etc,restrict=on' }, /tftp/],
  ['a capture', 'boot', { system: 'embedded', nic: `user,pcap=${join(outside, 'new')},restrict=on` }, /pcap/],
  ["a card's program", 'boot', { system: 'embedded', nic: 'user,romfile=/etc/passwd,restrict=on' }, /romfile/],
  ['a cable', 'boot', { system: 'embedded', nic: 'socket,listen=127.0.0.1:0' }, /^ERR_ARGUMENT/],
  ["a board that is no PC for a PC's guest", 'boot', { system: 'embedded', board: 'virt' }, /^ERR_ARGUMENT/],
  [
    'an Arm board with nothing that starts it',
    'boot',
    { system: 'files', disks: ['guest.bin'], board: 'virt' },
    /UEFI/,
  ],
  ['port 0', 'forward', { machine: 'x', port: 0 }, /^ERR_ARGUMENT/],
  ['a port of more than 16 bits', 'forward', { machine: 'x', port: 80, hostPort: 65_536 }, /^ERR_ARGUMENT/],
  ['an address of the host', 'forward', { machine: 'x', port: 80, hostAddress: '0.0.0.0' }, /^ERR_ARGUMENT/],
  ['a forward without end', 'forward', { machine: 'x', port: 80, seconds: 1e9 }, /^ERR_ARGUMENT/],
  ['an address of more than 64 bits', 'memory', { machine: 'x', address: `0x1${'0'.repeat(16)}` }, /^ERR_ARGUMENT/],
])('%s is refused', SLOW, async (_, tool, given, message) => {
  expect(await refusal(tool, given)).toMatch(message)
  expect(existsSync(join(outside, 'new'))).toBe(false)
})

test('calls end in time or when they are cancelled, and the machine is free again', SLOW, async () => {
  await server.call('boot', { system: 'embedded', name: 'slow', memory: '16M', timeoutSeconds: 300 })
  expect(await refusal('wait_for', { machine: 'slow', text: 'never', timeoutSeconds: 0.2 })).toMatch(
    /^ERR_TIME.*0\.2 s/,
  )
  expect(await refusal('exec', { machine: 'slow', command: 'x', timeoutSeconds: 0.2 })).toMatch(/^ERR_GUEST.*no agent/)
  const cancel = new AbortController()
  const call = server.call('wait_for', { machine: 'slow', text: 'never', timeoutSeconds: 400 }, cancel.signal)
  // Another call waits for the first one, no longer than it may.
  expect(await refusal('reset', { machine: 'slow', timeoutSeconds: 0.2 })).toMatch(/^ERR_TIME/)
  cancel.abort()
  await expect(call).rejects.toThrow()
  expect((await server.call('type', { machine: 'slow', text: 'echo free\n', until: PROMPT })).text).toContain(
    '\nfree\n',
  )
  // A stop ends a call.
  const ended = server.call('wait_for', { machine: 'slow', text: 'never', timeoutSeconds: 400 })
  await server.call('list_machines')
  await server.call('stop', { machine: 'slow' })
  expect((await ended).text).toMatch(/^ERR_MACHINE: slow was stopped/)
})

test('there are no more machines than the limit', SLOW, async () => {
  const names = ['a', 'b', 'c', 'd']
  const boots = await Promise.all(
    names.map((name) => server.call('boot', { system: 'files', firmware: 'guest.bin', memory: '16M', name })),
  )
  const refused = boots.filter(({ isError }) => isError)
  expect(refused.map(({ text }) => text)).toEqual([expect.stringMatching(/^ERR_LIMIT: there are 3 machines/)])
  const [first = '', second = '', third = ''] = names.filter((_, i) => !boots[i]!.isError)
  await server.call('stop', { machine: first })
  expect(await refusal('fork', { machine: second, name: third })).toMatch(/^ERR_MACHINE: there is a machine/)
  expect((await server.call('fork', { machine: second })).isError).toBe(false)
})

test('what is no message is logged on stderr, and the end of the input ends all', SLOW, async () => {
  const child = spawn(process.execPath, retrapCommand(['mcp', '--folder', folder]), { stdio: 'pipe' })
  let [out, log] = ['', '']
  child.stdout.on('data', (bytes: Uint8Array) => (out += Buffer.from(bytes).toString()))
  child.stderr.on('data', (bytes: Uint8Array) => (log += Buffer.from(bytes).toString()))
  const answered = async (id: number, line: string): Promise<void> => {
    child.stdin.write(`${line}\n`)
    while (!out.includes(`"id":${id}}`) && !out.includes(`"id":${id},`)) await once(child.stdout, 'data')
  }
  const called = (id: number, name: string, given: object): Promise<void> =>
    answered(id, JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: given } }))
  await answered(7, '{"jsonrpc": "1.0"}\nno JSON\n{"jsonrpc":"2.0","id":7,"method":"ping"}')
  expect(out).toBe('{"result":{},"jsonrpc":"2.0","id":7}\n')
  await called(8, 'boot', { system: 'files', firmware: 'spin.bin', name: 'spin', memory: '16M' })
  await called(9, 'resume', { machine: 'spin' })
  expect(out).toContain('spin runs in the background')
  // Too long for the protocol's reader: clients write the id first or last; null stands for none.
  const long = 'x'.repeat(11 << 20)
  for (const [id, frame] of [
    [10, `{"jsonrpc":"2.0","id":10,"method":"ping","params":{"x":"${long}"}}`],
    [11, `{"method":"ping","params":{"x":"${long}"},"jsonrpc":"2.0","id":11}`],
    [null, long],
  ] as const) {
    child.stdin.write(`${frame}\n`)
    const reply = `{"jsonrpc":"2.0","id":${id},"error":{"code":-32600,`
    while (!out.includes(reply)) await once(child.stdout, 'data')
  }
  await called(12, 'list_machines', {})
  expect(out.split('\n').at(-2)).toContain('spin')
  child.stdin.end()
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(0)
  expect(log).toMatch(/^retrap: mcp: /)
})
