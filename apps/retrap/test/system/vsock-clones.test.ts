/** Vsock devices of PCs and Arm boards, of their clones, and in recorded runs: Debian's driver, by Unix sockets. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createPc, recordPc, replayPc } from '@retrap/machine'
import { createArmMachine, recordArmMachine, replayArmMachine } from '@retrap/machine/arm'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { UnixVsock } from '@retrap/virtio/node'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { CLOUD, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { echoed, printed, withVsockEcho } from '../support/vsock-echo.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 300_000
const folder = temporaryFolder('vsock-clones')

const AUTO = `${FIRST_PROCESS}/drivers
/program
poweroff -f
`
const DRIVERS = ['virtio_pci', 'vmw_vsock_virtio_transport']
const [ARM_COMPILER, compiler] = ['aarch64-linux-gnu-gcc', 'gcc']

const pc = {
  name: 'a PC',
  linux: hasProgram(compiler) ? await linuxWith(DRIVERS, AUTO) : undefined,
  compiler,
  console: 'ttyS0',
  create: createPc,
  record: async (...given: Parameters<typeof recordPc>) => {
    const recorder = await recordPc(...given)
    return { machine: recorder.pc, end: () => recorder.end() }
  },
  replay: replayPc,
}
const arm = {
  name: 'an Arm board',
  linux: hasProgram(ARM_COMPILER)
    ? await linuxWith(DRIVERS, AUTO, { ...CLOUD, package: 'linux-image-cloud-arm64:arm64' }, 'busybox-static:arm64')
    : undefined,
  compiler: ARM_COMPILER,
  console: 'ttyAMA0',
  create: createArmMachine,
  record: recordArmMachine,
  replay: replayArmMachine,
}

describe.each([pc, arm] as unknown as readonly (typeof pc)[])(
  '$name',
  ({ linux, create, record, replay, ...board }) => {
    const note = skipNote(linux !== undefined, 'there is no apt or no compiler')
    const options = (host: UnixVsock | undefined) => ({
      memoryBytes: 128 << 20,
      jit: true,
      kernel: readFileSync(linux!.kernelPath),
      initrd: withVsockEcho(linux!.initrd, board.compiler),
      commandLine: `console=${board.console} quiet cryptomgr.notests rdinit=/auto`,
      clock: 'deterministic' as const,
      virtio: [{ kind: 'vsock', cid: 3, host } as const],
    })
    const bytes = randomBytes(100_000)

    test.runIf(linux !== undefined)(
      `a clone has sockets of its own, or none${note}`,
      async () => {
        const [path, own] = [join(folder, `${board.console}-1`), join(folder, `${board.console}-2`)]
        const host = await UnixVsock.open(path)
        const machine = await create({ ...options(host), forks: { clones: 2, writtenBytes: 32 << 20 } })
        const listening = printed(machine, 'listening')
        void machine.run()
        await listening
        expect(sha256(await echoed(path, bytes))).toBe(sha256(bytes))
        const cloneHost = await UnixVsock.open(own)
        const clone = await machine.fork({ virtio: [{ kind: 'vsock', cid: 3, host: cloneHost }] })
        const silent = await machine.fork()
        void clone.run()
        void silent.run()
        // Linux ends a connection that comes before it has taken the event that all of them are no more.
        await expect.poll(async () => sha256(await echoed(own, bytes)), { timeout: DEADLINE_MS }).toBe(sha256(bytes))
        // The machine's own are where they were.
        expect(sha256(await echoed(path, bytes))).toBe(sha256(bytes))
        for (const each of [clone, silent, machine]) each.close()
        cloneHost.close()
        host.close()
      },
      DEADLINE_MS,
    )

    test.runIf(linux !== undefined)(
      `a recorded run has its bytes, and is replayed without sockets${note}`,
      async () => {
        const path = join(folder, `${board.console}-3`)
        const host = await UnixVsock.open(path)
        const parts: Uint8Array[] = []
        const { machine, end } = await record(options(host), (part) => parts.push(part.slice()), {
          checkpointMs: Infinity,
        })
        const listening = printed(machine, 'listening')
        const stop = new AbortController()
        const running = machine.run({ signal: stop.signal })
        await listening
        expect(sha256(await echoed(path, bytes))).toBe(sha256(bytes))
        stop.abort()
        await running
        await end()
        host.close()
        const { instructions } = machine.domain
        machine.close()

        const recording = Buffer.concat(parts)
        const read = (at: number, length: number): Uint8Array => recording.subarray(at, at + length)
        const replayed = await replay(options(undefined), { bytes: recording.length, read })
        expect(replayed.end).toBe(instructions)
        expect(await replayed.run()).toEqual({ reason: 'end-of-recording' })
        expect(replayed.instructions).toBe(instructions)
        replayed.close()
      },
      DEADLINE_MS,
    )
  },
)
