import type { GuestFrames, GuestPages } from '@retrap/hvm'
import { bytesSource, readSnapshot, SnapshotError } from '@retrap/snapshot'
import { type Channel, FrameStream } from './frames.ts'
import { MigrationError } from './errors.ts'
import { ArrivingPages } from './pages.ts'
import { PAUSED, PROTOCOL } from './source.ts'

/** Options for receiving a machine. */
export interface ReceiveOptions {
  /** Checks the source's description of its machine. @throws to refuse the machine: the source gets the reason */
  readonly accept?: (description: unknown) => void
}

/** A machine that has arrived, and is not this side's yet. */
export interface ArrivedMachine {
  /** The received snapshot, for a machine with the same options: `createPc({ …, snapshot })`. */
  readonly snapshot: { readonly state: unknown; readonly pages: GuestPages }
  /**
   * Tells the source that a machine has been made of it, and takes it over.
   *
   * When this resolves, the machine is this side's, and is to be run, unless `isPaused`: its user has paused it, and it is to
   * stand still until its user lets it go on. When this rejects, the machine is the source's: the machine that was made never
   * runs, and is closed.
   *
   * @param claim - takes exclusive rights, such as to write the disks, which the source has released. If it rejects, it
   * must hold none of them, and the source gets the reason
   * @throws MigrationError `ERR_CUT`, `ERR_REFUSED`, `ERR_PROTOCOL`; errors of `claim`
   */
  takeOver(claim?: () => Promise<void>): Promise<{ readonly isPaused: boolean }>
  /** Refuses the machine, with a reason for the source, where the guest resumes. */
  refuse(why: string): Promise<void>
}

/**
 * Receives a machine by a channel.
 *
 * @throws MigrationError if the machine has not arrived: the guest continues at the source
 */
export async function receiveMigration(channel: Channel, options: ReceiveOptions = {}): Promise<ArrivedMachine> {
  const frames = new FrameStream(channel)
  try {
    const snapshot = await receiveSnapshot(frames, options)
    return {
      snapshot,
      takeOver: (claim) => takeOver(frames, claim),
      refuse: (why) => refuse(frames, why),
    }
  } catch (error) {
    channel.close()
    throw error
  }
}

async function receiveSnapshot(frames: FrameStream, { accept }: ReceiveOptions): Promise<ArrivedMachine['snapshot']> {
  const { payload } = await frames.receive('HELO')
  let pages: ArrivingPages
  try {
    pages = new ArrivingPages(checkHello(payload, accept))
  } catch (error) {
    await refuse(frames, messageOf(error))
    throw error
  }
  await frames.send('TAKE')
  for (;;) {
    const frame = await frames.receive('PAGE', 'STAT')
    if (frame.type === 'PAGE') pages.take(frame.payload)
    else return wholeSnapshot(frame.payload, pages)
  }
}

/** @returns the guest's frames @throws MigrationError; errors of `accept` */
function checkHello(payload: Uint8Array, accept: ReceiveOptions['accept']): readonly GuestFrames[] {
  let hello: { readonly protocol?: unknown; readonly frames?: unknown; readonly description?: unknown } | null
  try {
    hello = JSON.parse(new TextDecoder().decode(payload)) as typeof hello
  } catch (cause) {
    throw new MigrationError('ERR_PROTOCOL', 'the source does not say what it sends', { cause })
  }
  if (hello?.protocol !== PROTOCOL || !Array.isArray(hello.frames))
    throw new MigrationError('ERR_PROTOCOL', `protocol ${String(hello?.protocol)}: expected ${PROTOCOL}`)
  accept?.(hello.description)
  return hello.frames as readonly GuestFrames[]
}

async function wholeSnapshot(file: Uint8Array, pages: ArrivingPages): Promise<ArrivedMachine['snapshot']> {
  const last = await readSnapshot(bytesSource(file)).catch((cause: unknown) => {
    if (!(cause instanceof SnapshotError)) throw cause
    throw new MigrationError('ERR_PROTOCOL', `the state of the machine cannot be read: ${cause.message}`, { cause })
  })
  const { state, zeros } = (last.state ?? {}) as { state?: unknown; zeros?: unknown }
  if (state === undefined || !(zeros instanceof Uint32Array))
    throw new MigrationError('ERR_PROTOCOL', 'the state of the machine is not whole')
  return { state, pages: pages.finish(last.pages, zeros) }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function takeOver(frames: FrameStream, claim?: () => Promise<void>): Promise<{ readonly isPaused: boolean }> {
  let isPaused: boolean
  try {
    await frames.send('REDY')
    // The hand-over frame is complete, or has not arrived.
    const { payload } = await frames.receive('HAND')
    isPaused = payload[0] === PAUSED[0]
  } catch (error) {
    frames.close()
    throw error
  }
  try {
    await claim?.()
  } catch (error) {
    // The source resumes the machine only if it is notified.
    await refuse(frames, messageOf(error))
    throw error
  }
  // The machine is this side's now, whether the source is notified of it or not.
  await frames.send('RUNS').catch(() => undefined)
  frames.close()
  return { isPaused }
}

async function refuse(frames: FrameStream, why: string): Promise<void> {
  await frames.send('NOTE', new TextEncoder().encode(why.slice(0, 1000))).catch(() => undefined)
  frames.close()
}
