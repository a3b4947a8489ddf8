/** Who has the files that keep what was fetched, and how much room these take. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { type SnapshotPages, writeSnapshot } from '@retrap/snapshot'
import { words } from '@retrap/tooling/random'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { DiskRequests } from '../src/worker/disk-requests.ts'
import { MachineDrives } from '../src/worker/machine-drives.ts'
import { openMedium } from '../src/worker/media.ts'
import { openKeptRanges } from '../src/worker/open-kept-ranges.ts'
import { openFrom, snapshotFile } from '../src/worker/snapshots.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'
import type { SourceListener } from '../src/worker/sources.ts'
import { MemoryFolder } from './support/memory-folder.ts'

const CHUNK = 200 << 20
const QUOTA = 1 << 30
const URL_OF = (name: string): string => `https://a.test/${name}`

let folder: MemoryFolder
beforeEach(() => {
  folder = new MemoryFolder(QUOTA)
  vi.stubGlobal('navigator', { storage: folder.storage })
})
afterEach(() => vi.unstubAllGlobals())

/** Has a server with these bytes at all addresses. */
function serve(bytes: Uint8Array<ArrayBuffer>): void {
  vi.stubGlobal('fetch', async (_url: string, { headers }: { headers: Record<string, string> }) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers['range']!)!
    const part = bytes.subarray(Number(first), Number(last) + 1)
    const range = `bytes ${first}-${Number(first) + part.length - 1}/${bytes.length}`
    return new Response(part, { status: 206, headers: { 'content-range': range, etag: '"one"' } })
  })
}

const listener: SourceListener = {
  progress: () => {},
  warning: () => {},
  requests: new DiskRequests(),
  keepsFetched: true,
}

test('images of one machine do not take the room twice, and give back what they had', async () => {
  const open = (name: string): ReturnType<typeof openKeptRanges> => openKeptRanges(URL_OF(name), CHUNK)
  /** Whether a file may grow by a chunk, of which there is a byte. */
  const grows = (store: Awaited<ReturnType<typeof openKeptRanges>>): boolean => {
    store!.use({ tag: '"one"', bytes: CHUNK + 1 })
    store!.write(1, Uint8Array.of(7))
    return store!.read(1) !== null
  }
  const stores = await Promise.all(['a', 'b', 'c'].map(open))
  // Half of the room is for what the user keeps: three of them would be more than the other half.
  expect(stores.filter(grows)).toHaveLength(1)
  for (const store of stores) store!.close()
  expect(folder.open).toBe(0)
  const again = await open('d')
  expect(grows(again)).toBe(true)
  again!.close()
})

test('a medium that cannot be read gives its file to the next one', async () => {
  const wrecked = new Uint8Array(4096).fill(0xee)
  wrecked.set([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3])
  serve(wrecked)
  const opened = openMedium({ id: 'cd0', media: 'cdrom' }, { url: URL_OF('a.iso') }, listener)
  await expect(opened).rejects.toMatchObject({ code: 'ERR_SOURCE' })
  expect([folder.files.size, folder.open]).toEqual([1, 0])
})

test('a disc that a drive does not take gives its file to the next one', async () => {
  serve(new Uint8Array(4096))
  const insert = (): Promise<never> => Promise.reject(new Error('the guest has locked the tray'))
  const machine = { removableDrives: [{ id: 'cd0', insert }] } as unknown as Parameters<MachineDrives['insert']>[0]
  const drives = await MachineDrives.open({ images: {}, drives: null, shared: false }, listener)
  await expect(drives.insert(machine, 'cd0', { url: URL_OF('a.iso') })).rejects.toThrow('locked')
  expect([folder.files.size, folder.open]).toEqual([1, 0])
})

test('a snapshot that is damaged gives its file to the next one, and nothing of it stays', async () => {
  serve(new Uint8Array(100_000).fill(0xee))
  await expect(openFrom({ drives: null }, { url: URL_OF('a.snapshot') }, listener)).rejects.toMatchObject({
    code: 'ERR_SOURCE',
  })
  expect([folder.files.size, folder.open]).toEqual([1, 0])
  expect([...folder.files.values()].map(({ bytes }) => bytes.length)).toEqual([0])
})

test('a snapshot whose pages are damaged is read anew the next time', async () => {
  const image = { bytes: new Uint8Array(buildGuestImage()) }
  const options = { images: { firmware: image }, drives: null, shared: false, memoryBytes: 16 << 20 }
  const machine = await WorkerMachine.open(options, () => {})
  const good = new Uint8Array(await (await snapshotFile(await machine.save(null), null)).arrayBuffer())
  // Its pages are at the end.
  const bad = good.slice()
  bad[bad.length - 1000]! ^= 1
  const url = URL_OF('a.snapshot')
  const read = async (): Promise<boolean> => {
    const { pages } = await openFrom({ drives: null }, { url }, listener)
    try {
      for (const index of pages.gfns.keys()) pages.contents(index)
      return true
    } catch {
      return false
    } finally {
      pages.close?.()
    }
  }
  // A Worker waits for what is not at hand: here it is.
  vi.stubGlobal('XMLHttpRequest', undefined)
  const readAll = async (): Promise<boolean> => {
    const opened = await openFrom({ drives: null }, { url }, listener)
    // Damage that is found ahead shows when the page is needed.
    await opened.pages.ready!(0, opened.pages.gfns.length).catch(() => {})
    opened.pages.close?.()
    return read()
  }
  serve(bad)
  expect(await readAll()).toBe(false)
  serve(good)
  expect(await readAll()).toBe(true)
  expect(folder.open).toBe(0)
})

test('what a snapshot says to be touched first comes with its state, and all else 1.5 s later', async () => {
  const next = words(3)
  const bytes = new Uint8Array(Uint32Array.from({ length: 3 * 256 * 1024 }, () => next()).buffer)
  // Half of each of three blocks: one section of the file each.
  const gfns = Uint32Array.from({ length: 3 * 256 }, (_, i) => (i >> 8) * 512 + (i & 255))
  const page = (index: number): Uint8Array => bytes.subarray(index * 4096, (index + 1) * 4096)
  const parts: Uint8Array[] = []
  const first = { gfns: Uint32Array.of(5, 1027), bytes: new Uint8Array(Buffer.concat([page(5), page(515)])) }
  const state = { machine: { memoryBytes: 6 << 20, cpus: 1, machine: 'pc' }, first }
  await writeSnapshot({ description: {}, state, pages: { gfns, bytes } }, (part) => parts.push(part.slice()))
  serve(new Uint8Array(Buffer.concat(parts)))
  // A Worker waits for what is not at hand: here it is none.
  vi.stubGlobal('XMLHttpRequest', undefined)
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const source = { url: URL_OF('a.snapshot') }
  const { pages, arrived } = await openFrom({ drives: null }, source, { ...listener, keepsFetched: false })
  expect([...pages.first!, pages.blockFrames]).toEqual([5, 1027, 32])
  expect([pages.contents(5), pages.contents(515)]).toEqual([page(5), page(515)])
  expect(() => pages.contents(300)).toThrow()
  let isReady = false
  const ready = pages.ready!(256, 512).then(() => (isReady = true))
  await vi.advanceTimersByTimeAsync(1490)
  expect(isReady).toBe(false)
  await vi.advanceTimersByTimeAsync(20)
  await ready
  expect(pages.contents(300)).toEqual(page(300))
  pages.close?.()
  await arrived
})

test('first pages that are no pages are said', async () => {
  const state = {
    machine: { memoryBytes: 6 << 20, cpus: 1, machine: 'pc' },
    first: { gfns: Uint32Array.of(5), bytes: new Uint8Array(4095) },
  }
  const parts: Uint8Array[] = []
  const pages = { gfns: new Uint32Array(), bytes: new Uint8Array() }
  await writeSnapshot({ description: {}, state, pages }, (part) => parts.push(part.slice()))
  const source = { bytes: new Uint8Array(Buffer.concat(parts)) }
  await expect(openFrom({ drives: null }, source, listener)).rejects.toThrow('snapshot: its first pages are damaged')
})

/** A snapshot's file that is a whole number of chunks: its description is as long as that takes. */
async function snapshotOfChunks(chunkBytes: number, pages: SnapshotPages): Promise<Uint8Array<ArrayBuffer>> {
  const state = { machine: { memoryBytes: 1 << 20, cpus: 1, machine: 'pc' } }
  const next = words(1)
  for (let description = ''; ;) {
    const parts: Uint8Array[] = []
    await writeSnapshot({ description, state, pages }, (part) => parts.push(part.slice()))
    const file = new Uint8Array(Buffer.concat(parts))
    if (file.length % chunkBytes === 0) return file
    // A hexadecimal digit is compressed to about half a byte.
    for (let lack = chunkBytes - (file.length % chunkBytes); lack > 0; lack--) description += (next() % 16).toString(16)
  }
}

test('what the guest waits for is kept whole, and nothing else, up to the end of the file', async () => {
  const chunkBytes = 64 << 10
  // More than two chunks that cannot be compressed: when the snapshot is opened, none of the middle is read.
  const bytes = new Uint8Array(Uint32Array.from({ length: 40 << 10 }, words(2)).buffer)
  const file = await snapshotOfChunks(chunkBytes, { gfns: Uint32Array.from({ length: 40 }, (_, i) => i), bytes })
  serve(file)
  const asked: string[] = []
  class Request {
    readonly status = 206
    readonly response = file.buffer
    open(): void {}
    setRequestHeader(_name: string, range: string): void {
      asked.push(range)
    }
    send(): void {}
    getResponseHeader(): string {
      return '"one"'
    }
  }
  vi.stubGlobal('XMLHttpRequest', Request)
  const readPage = async (): Promise<Uint8Array> => {
    const { pages } = await openFrom({ drives: null }, { url: URL_OF('a.snapshot') }, listener)
    const page = pages.contents(0).slice()
    pages.close?.()
    return page
  }
  expect([await readPage(), await readPage()]).toEqual([bytes.slice(0, 4096), bytes.slice(0, 4096)])
  expect(asked).toEqual([`bytes=0-${file.length - 1}`])
  const [kept] = folder.files.values()
  // A head, and a slot for each chunk.
  expect(kept!.bytes.length).toBe(8192 + (file.length / chunkBytes) * (16 + chunkBytes))
})
