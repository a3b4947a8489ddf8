/** A machine moves while its guest writes a disk that both sides have, on one host. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openImage } from '@retrap/block/node'
import { createPc, type Pc, type PcSnapshot } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { listDrives } from '../../src/machine/drives/drives.ts'
import { createImage } from '../../src/commands/image/create.ts'
import { OpenDrives } from '../../src/machine/drives/open-drives.ts'
import { receiveIncoming } from '../../src/machine/migration/socket-channel.ts'
import { SessionMigration } from '../../src/machine/migration/session-migration.ts'
import { COUNT, END, SECTORS, writingKernel } from '../support/writing-guest.ts'

const folder = temporaryFolder('moving-disks')

/** A machine with the disks, and a run that a migration stops. */
interface Side {
  readonly pc: Pc
  readonly drives: OpenDrives
}

interface SideOptions {
  readonly snapshot?: boolean
  /** What has arrived. */
  readonly from?: PcSnapshot
}

async function side(path: string, { snapshot = false, from }: SideOptions = {}): Promise<Side> {
  const drives = await OpenDrives.open(listDrives({ hda: path, snapshot }, []), from === undefined ? 'now' : 'later')
  const options = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, kernel: writingKernel() }
  const more = { drives: drives.drives, ...(from !== undefined && { snapshot: from }) }
  return { pc: await createPc({ ...options, ...more, clock: 'deterministic' }), drives }
}

const wordAt = ({ pc }: Side, at: number): number => {
  const bytes = new Uint8Array(4)
  pc.domain.guestMemory.read(at, bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}

const soon = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1))

/** Waits until a guest has written so many sectors. */
async function written(at: Side, count: number): Promise<void> {
  while (wordAt(at, COUNT) < count) await soon()
}

/** What became of a machine. */
interface Moved {
  /** What the user is told. */
  readonly told: string | undefined
  readonly error: unknown
  readonly source: Side
  readonly migration: SessionMigration
  /** The run at the source. */
  readonly running: Promise<unknown>
  readonly destination: Side
  /** Why the destination does not have the machine. */
  readonly refused: unknown
}

interface MoveOptions {
  readonly snapshot?: boolean
  /** What the destination's drives have. */
  readonly there?: boolean
  /** Called when the source has given its disks up. */
  readonly onClaim?: () => Promise<void>
}

async function move(path: string, { snapshot = false, there = snapshot, onClaim }: MoveOptions = {}): Promise<Moved> {
  const source = await side(path, { snapshot })
  const hooks = { over: new Promise<never>(() => {}), isPaused: () => false, gone: () => {} }
  const migration = new SessionMigration({ check: () => {}, images: () => source.drives, ...hooks })
  const running = migration.run.run(source.pc, {}, { reason: 'stopped' })
  await written(source, 8)
  const address = { kind: 'unix', path: `${path}.socket` } as const
  const waiting = Promise.withResolvers<void>()
  const arriving = receiveIncoming(address, { write: () => waiting.resolve() } as never).then(async (incoming) => {
    const destination = await side(path, { snapshot: there, from: incoming.snapshot })
    const claim = async (writes: unknown): Promise<void> => {
      await onClaim?.()
      await destination.drives.claim(writes ?? [])
    }
    const refused = await incoming.takeOver(claim).catch((error: unknown) => error)
    return { destination, refused }
  })
  await waiting.promise
  const ended = await migration.migrate(source.pc as never, [`unix:${address.path}`]).then(
    (told) => ({ told, error: undefined }),
    (error: unknown) => ({ told: undefined, error }),
  )
  return { ...ended, source, migration, running, ...(await arriving) }
}

/** Has the guest end, and compares the disk with what it has written. */
async function expectWhole(at: Side, running: Promise<unknown>): Promise<void> {
  await written(at, wordAt(at, COUNT) + 8)
  at.pc.domain.guestMemory.write(END, Uint8Array.of(1))
  await running
  const count = wordAt(at, COUNT)
  at.pc.close()
  const content = new Uint16Array(SECTORS * 256)
  await at.drives.drives[0]!.medium!.read(0, new Uint8Array(content.buffer))
  const expected = Array.from({ length: SECTORS }, (_, i) => count - ((count - i) & (SECTORS - 1)))
  expect(Array.from(content)).toEqual(expected.flatMap((number) => Array.from({ length: 256 }, () => number & 0xffff)))
  expect(await at.drives.close()).toEqual([])
}

/** The first sectors of a disk, as whoever opens it next finds them. */
async function contentOf(path: string): Promise<Uint8Array> {
  const image = await openImage(path, { format: path.endsWith('.qcow2') ? 'qcow2' : 'raw' })
  const content = new Uint8Array(SECTORS * 512)
  await image.read(0, content)
  await image.close()
  return content
}

let disks = 0
/** A disk that is raw, or a qcow2 image above a raw one. */
async function disk(format: 'raw' | 'qcow2'): Promise<string> {
  const base = join(folder, `${disks++}.img`)
  writeFileSync(base, new Uint8Array(1 << 20).fill(0xa5))
  if (format === 'raw') return base
  await createImage(`${base}.qcow2`, 'qcow2', { bytes: 1 << 20 }, { name: base, format: 'raw' })
  return `${base}.qcow2`
}

const locked = expect.objectContaining({ code: 'ERR_LOCKED' })

test.each(['raw', 'qcow2'] as const)('a %s disk goes with it: the source writes nothing more', async (format) => {
  const path = await disk(format)
  const { told, error, source, destination } = await move(path)
  expect([error, told]).toEqual([undefined, expect.stringMatching(/^moved to/)])
  await expect(source.drives.claim()).rejects.toThrow(locked)
  const running = destination.pc.run()
  await written(destination, wordAt(destination, COUNT) + 1)
  source.pc.close()
  expect(await source.drives.close()).toEqual([])
  await expectWhole(destination, running)
  // All of it is in the file.
  expect(new Set(await contentOf(path)).has(0xa5)).toBe(false)
})

test('a destination that cannot take the disk says so, and the source writes on', async () => {
  const path = await disk('qcow2')
  const onClaim = (): Promise<void> => Promise.reject(new Error('the host is full'))
  const { error, source, migration, running, destination, refused } = await move(path, { onClaim })
  expect(refused).toMatchObject({ message: 'the host is full' })
  expect(error).toMatchObject({ code: 'ERR_REFUSED', message: 'the other side says: the host is full' })
  expect(migration.run.isStopped).toBe(false)
  destination.pc.close()
  expect(await destination.drives.close()).toEqual([])
  await expectWhole(source, running)
})

test('where a third machine has the disk, neither side runs until it is free again', async () => {
  const path = await disk('raw')
  let third: Awaited<ReturnType<typeof openImage>> | undefined
  const onClaim = async (): Promise<void> => {
    third = await openImage(path)
  }
  const { told, source, migration, running, destination } = await move(path, { onClaim })
  expect(told).toMatch(/another machine has it open for writing.* It is stopped here\.\n/)
  expect(migration.run.isStopped).toBe(true)
  destination.pc.close()
  await destination.drives.close()
  await expect(migration.decide('resume')).rejects.toThrow(locked)
  await third!.close()
  expect(await migration.decide('resume')).toBe('the machine runs on here\n')
  await expectWhole(source, running)
})

test('what a drive keeps in memory goes with it, and its file stays as it is', async () => {
  const path = await disk('raw')
  const { told, error, source, destination } = await move(path, { snapshot: true })
  expect([error, told]).toEqual([undefined, expect.stringMatching(/^moved to/)])
  source.pc.close()
  expect(await source.drives.close()).toEqual([])
  await expectWhole(destination, destination.pc.run())
  expect(new Set(await contentOf(path))).toEqual(new Set([0xa5]))
})

test('a destination whose drive writes its file does not take writes of memory', async () => {
  const path = await disk('raw')
  const { error, source, running, destination } = await move(path, { snapshot: true, there: false })
  // The source reads the file: it is not written meanwhile.
  expect(error).toMatchObject({ message: expect.stringContaining('another machine reads it') as string })
  destination.pc.close()
  await destination.drives.close()
  await expectWhole(source, running)
})

test.each([
  { given: 'no writes', writes: [], says: 'one side alone has snapshot=on' },
  { given: 'writes that are none', writes: [7], says: 'expected 1048576' },
])('a source that sends $given for a drive with snapshot=on is refused', async ({ writes, says }) => {
  const drives = await OpenDrives.open(listDrives({ hda: await disk('raw'), snapshot: true }, []), 'later')
  await expect(drives.claim(writes)).rejects.toThrow(says)
  await drives.close()
})
