import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { DebugExit } from '@retrap/devices'
import type { Soak } from '@retrap/tooling/soak'
import { recordPc, replayPc, type PcOptions, type ReplayExit } from '../../src/index.ts'
import { EXIT_PORT, LAST, pollingKernel, pollingResult } from '../support/polling-guest.ts'
import { medium } from '../support/media.ts'

const IMAGE = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i * 131) ^ (i >> 8))

/** A recorded run is the same when it is run again: with another JIT, from any place, whatever the host does. */
export const soak: Soak = {
  name: 'record',
  count: 1000,
  async step(rng) {
    const cpus = rng.pick([1, 2] as const)
    const [jit, otherJit, slowness, events] = [rng.chance(), rng.chance(), rng.below(3), rng.between(0, 20)]
    const machine = rng.pick(['pc', 'q35'] as const)
    rng.note('machine', `${machine}, ${cpus} vCPUs, JIT ${jit} then ${otherJit}, ${events} events`)
    const options = (compiles: boolean, read: () => Promise<void>): PcOptions => ({
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      machine,
      cpus,
      jit: compiles,
      clock: 'deterministic',
      kernel: pollingKernel(cpus),
      ...(machine === 'pc' && { drives: [{ medium: medium(IMAGE, read) }] }),
      devices: [new DebugExit({ iobase: EXIT_PORT })],
    })
    const pieces: Uint8Array[] = []
    const pause = (): Promise<void> => (slowness === 0 ? turn() : sleep(slowness - 1))
    const recorder = await recordPc(options(jit, pause), (piece) => void pieces.push(piece.slice()))
    const { pc } = recorder
    const running = pc.run({ timeoutMs: 60_000 })
    for (let i = 0; i < events; i++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      for (let turns = rng.below(20); turns > 0; turns--) await turn()
      const kind = rng.below(3)
      if (kind === 0) pc.serial.receive(rng.bytes(rng.between(1, 40)).map((byte) => byte & 0x3f))
      // oxlint-disable-next-line no-await-in-loop
      else if (kind === 1) await pc.keyboard.type('key')
      else void pc.mouse.move(rng.below(20), rng.below(20))
    }
    // oxlint-disable-next-line no-await-in-loop
    for (let turns = 50; turns > 0; turns--) await turn()
    pc.serial.receive(new TextEncoder().encode(LAST))
    const { reason } = await running
    await recorder.end()
    const expected = JSON.stringify([reason, pollingResult(pc), recorder.instructions])
    pc.close()
    const file = new Uint8Array(Buffer.concat(pieces))
    const replay = await replayPc(
      options(otherJit, () => Promise.reject(new Error('a replay reads the disk'))),
      { bytes: file.length, read: (offset, bytes) => file.subarray(offset, offset + bytes) },
    )
    try {
      // Stops on the way change nothing.
      for (let stops = rng.below(3); stops > 0; stops--) {
        // oxlint-disable-next-line no-await-in-loop
        const exit = await replay.goto(rng.below(replay.end))
        if (exit.reason !== 'arrived') return `stopped on the way: ${JSON.stringify(exit)}`
      }
      const exit: ReplayExit = await replay.run()
      const found = JSON.stringify([exit.reason, pollingResult(replay.pc), replay.instructions])
      return found === expected ? undefined : `${found}, recorded was ${expected}; ${JSON.stringify(exit)}`
    } finally {
      replay.close()
    }
  },
}
