/** Debian's kernels with agents of `@retrap/guest` at serial and at virtio ports: commands, files, a clone, and machines that were saved. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { connectGuest, type Guest, GuestStream } from '@retrap/guest'
import { createPc, type MachineVirtioDevice } from '@retrap/machine'
import { createArmMachine } from '@retrap/machine/arm'
import { TEST_LONG } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { armLinux, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES, WRITE_AGENT } from '../support/first-process.ts'
import { sha256 } from '../support/sha256.ts'

const AUTO = `${FIRST_PROCESS}/drivers
${WRITE_AGENT}ip link set lo up
mkdir /www
head -c 10000 /dev/urandom > /www/file
httpd -p 127.0.0.1:80 -h /www
nc -ll -p 7 -e cat &
sh /agent /dev/vport0p1 &
sh /agent /dev/ttyS1
`
/** The host may be busy. */
const DEADLINE_MS = 300_000
/** Of forwarded ports: an emulated guest takes most of a second for each connection. */
const [CONNECTIONS, ECHOED_BYTES] = TEST_LONG ? [20, 1 << 20] : [3, 1 << 15]
const PATIENT = { connectTimeoutMs: DEADLINE_MS, answerTimeoutMs: DEADLINE_MS }

const linux = await linuxWith(['virtio_pci', 'virtio_console'], AUTO)
const ofArm = await armLinux(
  ['virtio_pci', 'virtio_console'],
  `${FIRST_PROCESS}/drivers\n${WRITE_AGENT}sh /agent /dev/vport0p1\n`,
)

/** A console that nobody uses, and a port. */
const portOf = (stream: GuestStream): readonly MachineVirtioDevice[] => [
  { kind: 'console', ports: [{ stream: { send() {} } }, { stream, name: 'org.retrap.guest' }] },
]

/** Has an agent run commands, and another one, or the same, read and write files. */
async function expectAgent(guest: Guest, other: Guest, machine: string): Promise<void> {
  expect(await guest.exec('uname -m; cat; echo no >&2; exit 3', { stdin: 'typed' })).toMatchObject({
    exitCode: 3,
    signal: null,
    stdout: `${machine}\ntyped`,
    stderr: 'no\n',
  })
  const data = new Uint8Array(randomBytes(40_003))
  await other.files.write('/tmp/a file', data, { mode: 0o640 })
  expect(await other.files.read('/tmp/a file')).toEqual(data)
  expect(await guest.files.list('/tmp')).toMatchObject([
    { name: 'a file', type: 'file', sizeBytes: data.length, mode: 0o640 },
    ...(guest === other ? [0] : [0, 1]).map(() => ({ type: 'directory', mode: 0o700 })),
  ])
  const limited = { timeoutMs: 300, maxOutputBytes: 20_000 }
  await expect(guest.exec('sleep 1000', limited)).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
  await expect(guest.exec('yes', { ...limited, timeoutMs: DEADLINE_MS })).rejects.toMatchObject({
    code: 'ERR_GUEST_OUTPUT',
  })
}

test.runIf(linux !== undefined)(
  `commands run in Linux, in a clone of it, and where it was saved${skipNote(linux !== undefined, 'there is no apt')}`,
  async () => {
    const stream = new GuestStream()
    const options = (port: GuestStream) => ({
      memoryBytes: 128 << 20,
      jit: true,
      kernel: readFileSync(linux!.kernelPath),
      initrd: linux!.initrd,
      commandLine: `${TO_DEVICES} rdinit=/auto`,
      serialPorts: 2,
      virtio: portOf(port),
    })
    const pc = await createPc({ ...options(stream), forks: { clones: 1, writtenBytes: 32 << 20 } })
    const ending = pc.run()
    const guest = await connectGuest(pc.serialPorts[1]!, PATIENT)
    const other = await connectGuest(stream, PATIENT)
    await expectAgent(guest, other, 'x86_64')

    // Ports of the guest on ports of the host: a server of HTTP, and one that returns what it gets.
    const web = await other.forward(80)
    const file = await other.files.read('/www/file')
    const pages = Array.from({ length: CONNECTIONS }, async () => {
      const response = await fetch(`http://127.0.0.1:${web.port}/file`, { headers: { connection: 'close' } })
      return sha256(new Uint8Array(await response.arrayBuffer()))
    })
    expect(await Promise.all(pages)).toEqual(pages.map(() => sha256(file)))
    web.close()
    const echo = await other.forward(7)
    const sent = randomBytes(ECHOED_BYTES)
    const socket = connect({ port: echo.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end(sent)
    expect(sha256(Buffer.concat(await socket.toArray()))).toBe(sha256(sent))
    echo.close()

    // A clone in the middle of a command, of a session that its host does not know.
    const busy = guest.exec('echo slow >/tmp/b; sleep 2; cat /tmp/b')
    const cloneStream = new GuestStream()
    const clone = await pc.fork({ virtio: portOf(cloneStream) })
    const cloneEnding = clone.run()
    const twin = await connectGuest(clone.serialPorts[1]!, PATIENT)
    expect((await twin.exec('echo clone >/tmp/b; ps | grep -c "[s]leep"')).stdout).toBe('0\n')
    const otherTwin = await connectGuest(cloneStream, PATIENT)
    expect((await otherTwin.exec('cat /tmp/b')).stdout).toBe('clone\n')
    expect((await busy).stdout).toBe('slow\n')

    // A machine that was saved has its agent where it goes on, and the machine itself where it goes back to.
    await guest.exec('echo saved >/tmp/b')
    const snapshot = await pc.save({ forRestore: true })
    await guest.exec('echo later >/tmp/b')
    const restoredStream = new GuestStream()
    const restored = await createPc({ ...options(restoredStream), snapshot })
    const restoredEnding = restored.run()
    const third = await connectGuest(restored.serialPorts[1]!, PATIENT)
    expect((await third.exec('cat /tmp/b')).stdout).toBe('saved\n')
    const otherThird = await connectGuest(restoredStream, PATIENT)
    expect(Buffer.from(await otherThird.files.read('/tmp/b')).toString()).toBe('saved\n')
    guest.close()
    await pc.restore(snapshot)
    const back = await connectGuest(pc.serialPorts[1]!, PATIENT)
    expect((await back.exec('cat /tmp/b')).stdout).toBe('saved\n')

    const live = [back, twin, third]
    const ends = live.map((each) => each.exec('poweroff -f').catch((error: unknown) => error))
    const endings = await Promise.all([ending, cloneEnding, restoredEnding])
    expect(endings.map(({ reason }) => reason)).toEqual(['power-off', 'power-off', 'power-off'])
    for (const each of [...live, other, otherTwin, otherThird]) each.close()
    expect(await Promise.all(ends)).toMatchObject(live.map(() => ({ code: 'ERR_GUEST_CLOSED' })))
    restored.close()
    clone.close()
    pc.close()
  },
  2 * DEADLINE_MS,
)

test.runIf(ofArm !== undefined)(
  `commands run in Linux on an Arm board, and where it was saved${skipNote(ofArm !== undefined, 'there is no apt')}`,
  async () => {
    const stream = new GuestStream()
    const options = (port: GuestStream) => ({
      memoryBytes: 192 << 20,
      jit: true,
      kernel: readFileSync(ofArm!.kernelPath),
      initrd: ofArm!.initrd,
      commandLine: 'console=ttyAMA0 quiet cryptomgr.notests rdinit=/auto',
      virtio: portOf(port),
    })
    const machine = await createArmMachine(options(stream))
    const ending = machine.run()
    const guest = await connectGuest(stream, PATIENT)
    await expectAgent(guest, guest, 'aarch64')
    // Two at once: each waits for the other.
    const meet = 'echo >>/tmp/meet; while [ "$(wc -l </tmp/meet)" -lt 2 ]; do sleep 0.1; done; echo met'
    const both = await Promise.all([guest.exec(meet), guest.exec(meet)])
    expect(both.map(({ stdout }) => stdout)).toEqual(['met\n', 'met\n'])

    await guest.exec('echo saved >/tmp/b')
    const snapshot = await machine.save({ forRestore: true })
    await guest.exec('echo later >/tmp/b')
    const restoredStream = new GuestStream()
    const restored = await createArmMachine({ ...options(restoredStream), snapshot })
    const restoredEnding = restored.run()
    const second = await connectGuest(restoredStream, PATIENT)
    expect((await second.exec('cat /tmp/b')).stdout).toBe('saved\n')
    guest.close()
    await machine.restore(snapshot)
    const back = await connectGuest(stream, PATIENT)
    expect((await back.exec('cat /tmp/b')).stdout).toBe('saved\n')

    const live = [back, second]
    const ends = live.map((each) => each.exec('poweroff -f').catch((error: unknown) => error))
    expect((await Promise.all([ending, restoredEnding])).map(({ reason }) => reason)).toEqual([
      'power-off',
      'power-off',
    ])
    for (const each of live) each.close()
    expect(await Promise.all(ends)).toMatchObject(live.map(() => ({ code: 'ERR_GUEST_CLOSED' })))
    restored.close()
    machine.close()
  },
  2 * DEADLINE_MS,
)
