/**
 * Snapshots that version 0.2.0 made, of every board with every device, open, and their guests go on as they did then; those of Arm
 * boards as they do since PCI memory without a device reads as ones: then it aborted.
 *
 * `RETRAP_KEEP_SNAPSHOTS=1` makes what is missing of them, by the sources as they are: a version that is released gets files of its
 * own, and the earlier ones stay as they are.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { PcSnapshot } from '@retrap/machine'
import { bytesSource, readSnapshot, writeSnapshot } from '@retrap/snapshot'
import { type Rng, runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { type Board, COMPOSED } from './support/compose/boards.ts'
import { drawCase, nothing } from './support/compose/case.ts'
import { type Making, Subject } from './support/compose/machines.ts'
import { sha256 } from './support/sha256.ts'

const FOLDER = new URL('fixtures/snapshots-0.2.0/', import.meta.url)
/** Nanoseconds until a guest is saved, and then until it is looked at. */
const [SAVED_NS, LATER_NS] = [150_000, 100_000]
/** Of a guest that is not halted then. */
const LEAST_INSTRUCTIONS = 20_000

const fileOf = ({ name }: Board): URL => new URL(`${name.replaceAll(/[^\w-]+/g, '-')}.snapshot`, FOLDER)

/** Of the devices of 0.2.0, where only a q35 had root ports. */
const makingOf = (board: Board, image: Uint8Array): Making => ({
  board: board.options.machine === 'q35' ? board : { ...board, options: { ...board.options, rootPorts: [] } },
  ...{ image, cpus: 2, placement: 'inline', jit: false, hostModels: true, card: 'none', restarts: false },
  ...{ keep: undefined, pages: false, forks: false },
})

/** What a guest has become, a while after it went on. */
interface Later {
  readonly ns: number
  readonly instructions: number
  readonly exit: string | null
  /** SHA-256 of its RAM below 4 MiB. */
  readonly ram: string
}

/** Makes the snapshot of a guest that executes for as long. */
async function keep(board: Board): Promise<void> {
  let isKept = false
  const step = async (rng: Rng): Promise<void> => {
    if (isKept) return
    const { making } = await drawCase(rng, board, 'plain')
    const subject = await Subject.make(makingOf(board, making.image))
    await subject.runUntil(SAVED_NS)
    if (subject.exit !== undefined) return
    const { state, pages } = await subject.machine.save()
    const { domain } = subject.machine
    const before = domain.instructions
    await subject.runUntil(SAVED_NS + LATER_NS)
    if (subject.exit !== undefined || domain.instructions - before < LEAST_INSTRUCTIONS) return
    const parts: Uint8Array[] = []
    mkdirSync(FOLDER, { recursive: true })
    await writeSnapshot({ description: { board: board.name }, state, pages }, (part) => parts.push(part.slice()))
    writeFileSync(fileOf(board), Buffer.concat(parts))
    isKept = true
  }
  await runSoak({ name: 'keep', step }, { count: 200 })
}

async function later(board: Board): Promise<Later> {
  const { state, pages } = await readSnapshot(bytesSource(new Uint8Array(readFileSync(fileOf(board)))))
  const subject = await Subject.goingOn(makingOf(board, nothing()), { state, pages } as PcSnapshot)
  const { domain } = subject.machine
  await subject.runUntil(domain.clock.now() + LATER_NS)
  const ram = new Uint8Array(4 << 20)
  domain.guestMemory.read(board.arm ? 0x4000_0000 : 0, ram)
  const { exit, now: ns } = subject
  subject.machine.close()
  return {
    ...{ ns, instructions: domain.instructions, exit: exit?.reason ?? null },
    ram: sha256(ram),
  }
}

const EXPECTED = new URL('expected.json', FOLDER)

test.each(COMPOSED)('$name goes on from where it was', async (board) => {
  const isMade = process.env['RETRAP_KEEP_SNAPSHOTS'] === '1' && !existsSync(fileOf(board))
  if (isMade) await keep(board)
  const all = (existsSync(EXPECTED) ? JSON.parse(readFileSync(EXPECTED, 'utf8')) : {}) as Record<string, Later>
  const found = await later(board)
  if (isMade) writeFileSync(EXPECTED, `${JSON.stringify({ ...all, [board.name]: found }, null, 2)}\n`)
  else expect(found).toEqual(all[board.name])
})
