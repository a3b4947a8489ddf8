/** A machine moves while its guest writes a disk that both sides have, on one host. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair, type Duplex } from 'node:stream'
import { openImage } from '@retrap/block/node'
import { createPc, type Pc, type PcSnapshot } from '@retrap/machine'
import { type Channel, migrate, type MigrationReport, receiveMigration, StoppableRun } from '@retrap/migration'
import { afterAll, expect, test } from 'vitest'
import { listDrives } from '../../src/drives.ts'
import { createImage } from '../../src/image/create.ts'
import { OpenDrives } from '../../src/open-drives.ts'
import { SessionSnapshots } from '../../src/snapshots/session-snapshots.ts'
import { COUNT, END, SECTORS, writingKernel } from '../support/writing-guest.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-moving-disks-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A machine with the disks, and a run that a migration stops. */
interface Side {
  readonly pc: Pc
  readonly drives: OpenDrives
}

async function side(path: string, snapshot?: PcSnapshot): Promise<Side> {
  const drives = await OpenDrives.open(listDrives({ hda: path }, []), snapshot === undefined ? 'now' : 'later')
  const options = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, kernel: writingKernel() }
  const more = { drives: drives.drives, ...(snapshot !== undefined && { snapshot }) }
  return { pc: await createPc({ ...options, ...more, clock: 'deterministic' }), drives }
}

const channel = (stream: Duplex): Channel => {
  const pieces = stream.on('error', () => {})[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => void stream.write(bytes, (error) => (error ? reject(error) : resolve()))),
    receive: async () => (await pieces.next()).value ?? null,
    close: () => void stream.end(),
  }
}

const wordAt = ({ pc }: Side, at: number): number => {
  const bytes = new Uint8Array(4)
  pc.domain.guestMemory.read(at, bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}

const soon = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1))

/** Waits until a guest has written so many sectors. */
async function written(at: Side, count: number): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- the guest has its turns
  while (wordAt(at, COUNT) < count) await soon()
}

/** What became of a machine. */
interface Moved {
  readonly report: MigrationReport | undefined
  readonly error: unknown
  readonly source: Side
  readonly run: StoppableRun
  /** The run at the source. */
  readonly running: Promise<unknown>
  readonly destination: Side
  /** The destination does not have the machine. */
  readonly refused: unknown
}

/** @param onClaim - called when the source has given its disks up */
async function move(path: string, onClaim: () => Promise<void> = async () => {}): Promise<Moved> {
  const source = await side(path)
  const run = new StoppableRun()
  const running = run.run(source.pc, {}, { reason: 'stopped' })
  await written(source, 8)
  const [near, far] = duplexPair()
  const arriving = receiveMigration(channel(far)).then(async (arrived) => {
    const destination = await side(path, arrived.snapshot as PcSnapshot)
    const claim = (): Promise<void> => onClaim().then(() => destination.drives.claim())
    const refused = await arrived.takeOver(claim).catch((error: unknown) => error)
    return { destination, refused }
  })
  const { pc, drives } = source
  const moving = migrate(channel(near), {
    domain: pc.domain,
    stop: () => run.stop(),
    resume: () => run.resume(),
    save: async () => {
      const saved = await pc.save()
      await drives.flush()
      return saved
    },
    release: () => drives.release(),
    reclaim: () => drives.claim(),
  })
  const ended = await moving.then(
    (report) => ({ report, error: undefined }),
    (error: unknown) => ({ report: undefined, error }),
  )
  return { ...ended, source, run, running, ...(await arriving) }
}

/** Has the guest end, and compares the disk with what it has written. */
async function expectWhole(path: string, at: Side, running: Promise<unknown>): Promise<void> {
  await written(at, wordAt(at, COUNT) + 8)
  at.pc.domain.guestMemory.write(END, Uint8Array.of(1))
  await running
  const count = wordAt(at, COUNT)
  at.pc.close()
  expect(await at.drives.close()).toEqual([])
  const format = path.endsWith('.qcow2') ? 'qcow2' : 'raw'
  const image = await openImage(path, { format, readOnly: true })
  const content = new Uint16Array(SECTORS * 256)
  await image.read(0, new Uint8Array(content.buffer))
  await image.close()
  const expected = Array.from({ length: SECTORS }, (_, i) => count - ((count - i) & (SECTORS - 1)))
  expect(Array.from(content)).toEqual(expected.flatMap((number) => Array.from({ length: 256 }, () => number & 0xffff)))
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
  const { report, error, source, destination } = await move(path)
  expect([error, report?.outcome]).toEqual([undefined, 'moved'])
  await expect(source.drives.claim()).rejects.toThrow(locked)
  const running = destination.pc.run()
  await written(destination, wordAt(destination, COUNT) + 1)
  source.pc.close()
  expect(await source.drives.close()).toEqual([])
  await expectWhole(path, destination, running)
})

test('a destination that cannot take the disk says so, and the source writes on', async () => {
  const path = await disk('qcow2')
  const { error, source, run, running, destination, refused } = await move(path, async () => {
    throw new Error('the host is full')
  })
  expect(refused).toMatchObject({ message: 'the host is full' })
  expect(error).toMatchObject({ code: 'ERR_REFUSED', message: 'the other side says: the host is full' })
  expect(run.isStopped).toBe(false)
  destination.pc.close()
  expect(await destination.drives.close()).toEqual([])
  await expectWhole(path, source, running)
})

test('where a third machine has the disk, neither side runs until it is free again', async () => {
  const path = await disk('raw')
  let third: Awaited<ReturnType<typeof openImage>> | undefined
  const { report, source, run, running, destination } = await move(path, async () => {
    third = await openImage(path)
  })
  expect(report).toMatchObject({ outcome: 'unknown', error: locked })
  expect(run.isStopped).toBe(true)
  destination.pc.close()
  await destination.drives.close()
  await expect(source.drives.claim()).rejects.toThrow(locked)
  await third!.close()
  await source.drives.claim()
  run.resume()
  await expectWhole(path, source, running)
})

test('a disk whose writes are kept in memory does not move, and nothing is sent', async () => {
  const snapshots = new SessionSnapshots({ arguments: [] }, listDrives({ hda: 'a.img', snapshot: true }, []), () => {})
  expect(() => snapshots.check({ save: async () => ({}) as never })).toThrow(
    'a.img keeps what the guest writes in memory',
  )
})
