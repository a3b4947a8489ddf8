/** Debian's kernel for arm64 with an agent of `@retrap/guest` at a virtio port: commands, files, and a machine that was saved. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connectGuest, GuestStream } from '@retrap/guest'
import type { MachineVirtioDevice } from '@retrap/machine'
import { createArmMachine } from '@retrap/machine/arm'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { armLinux } from '../support/disk-linux.ts'
import { FIRST_PROCESS, WRITE_AGENT } from '../support/first-process.ts'

const AUTO = `${FIRST_PROCESS}/drivers
${WRITE_AGENT}sh /agent /dev/vport0p1
`
/** The host may be busy. */
const DEADLINE_MS = 300_000
const PATIENT = { connectTimeoutMs: DEADLINE_MS, answerTimeoutMs: DEADLINE_MS }

const linux = await armLinux(['virtio_pci', 'virtio_console'], AUTO)

/** A console that nobody uses, and a port. */
const portOf = (stream: GuestStream): readonly MachineVirtioDevice[] => [
  { kind: 'console', ports: [{ stream: { send() {} } }, { stream, name: 'org.retrap.guest' }] },
]

test.runIf(linux !== undefined)(
  `commands run in Linux on an Arm board, and where it was saved${skipNote(linux !== undefined, 'there is no apt')}`,
  async () => {
    const stream = new GuestStream()
    const options = (port: GuestStream) => ({
      memoryBytes: 192 << 20,
      jit: true,
      kernel: readFileSync(linux!.kernelPath),
      initrd: linux!.initrd,
      commandLine: 'console=ttyAMA0 quiet cryptomgr.notests rdinit=/auto',
      virtio: portOf(port),
    })
    const machine = await createArmMachine(options(stream))
    const ending = machine.run()
    const guest = await connectGuest(stream, PATIENT)
    expect(await guest.exec('uname -m; cat; echo no >&2; exit 3', { stdin: 'typed' })).toMatchObject({
      exitCode: 3,
      signal: null,
      stdout: 'aarch64\ntyped',
      stderr: 'no\n',
    })
    const data = new Uint8Array(randomBytes(40_003))
    await guest.files.write('/tmp/a file', data, { mode: 0o640 })
    expect(await guest.files.read('/tmp/a file')).toEqual(data)
    // Two at once: each waits for the other.
    const meet = 'echo >>/tmp/meet; while [ "$(wc -l </tmp/meet)" -lt 2 ]; do sleep 0.1; done; echo met'
    const both = await Promise.all([guest.exec(meet), guest.exec(meet)])
    expect(both.map(({ stdout }) => stdout)).toEqual(['met\n', 'met\n'])
    const limited = { timeoutMs: 300, maxOutputBytes: 20_000 }
    await expect(guest.exec('sleep 1000', limited)).rejects.toMatchObject({ code: 'ERR_GUEST_TIMEOUT' })
    await expect(guest.exec('yes', { ...limited, timeoutMs: DEADLINE_MS })).rejects.toMatchObject({
      code: 'ERR_GUEST_OUTPUT',
    })

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
