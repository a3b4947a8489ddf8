import { receiveMigration } from '@retrap/migration'
import type { PcSnapshot } from '@retrap/machine'
import type { SessionOutput } from '../session/host.ts'
import type { MigrationAddress } from './address.ts'
import { awaitSource } from './socket-channel.ts'

/** A machine that has arrived. */
export interface Incoming {
  /** What the machine is made of. */
  readonly snapshot: PcSnapshot
  /**
   * Takes the machine over, which has been made: from then on it runs here.
   *
   * @param claim - takes the disks, which the source has given up; `writes` is what its drives have kept in memory
   * @throws MigrationError; what `claim` throws
   */
  takeOver(claim: (writes: unknown) => Promise<void>): Promise<void>
  /** Tells the source, unless the machine has been taken over, that it is not. */
  drop(): Promise<void>
}

/** Waits for a machine (`--incoming`). @throws CliError, MigrationError */
export async function receiveIncoming(address: MigrationAddress, stderr: SessionOutput): Promise<Incoming> {
  const arrived = await receiveMigration(await awaitSource(address, stderr))
  let isSettled = false
  const { pages } = arrived.snapshot
  const { writes, ...state } = Object(arrived.snapshot.state) as { readonly writes?: unknown }
  return {
    // The machine checks what is in it.
    snapshot: { state, pages } as PcSnapshot,
    async takeOver(claim) {
      isSettled = true
      await arrived.takeOver(() => claim(writes))
      stderr.write('retrap: the machine has arrived, and runs here\n')
    },
    async drop() {
      if (!isSettled) await arrived.refuse('no machine could be made of it')
    },
  }
}
