import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import type { ShareNode } from '@retrap/virtio/p9'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { stillShare } from '@retrap/linux-guest/jobs/view-share'
import { BackEnds } from '../../src/machine/back-ends/back-ends.ts'
import { Chardevs } from '../../src/machine/serial/chardevs.ts'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'

const RACE_MS = 1500
/** Waits for what a busy host has not done yet. */
const PATIENCE_MS = 100_000
const ACCESS = { read: true, write: true, truncate: false } as const
const NEW = { ...ACCESS, exclusive: true, mode: 0o644 } as const

/** Swaps a directory by a link to a place outside, and back, as fast as it can. */
const SWAPPER = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs')
const { parentPort, workerData: { directory, outside, swaps } } = require('node:worker_threads')
let going = true
parentPort.on('message', () => (going = false))
function turn() {
  for (let i = 0; i < 50; i++, Atomics.add(swaps, 0, 1)) {
    renameSync(directory, directory + '.away')
    symlinkSync(outside, directory)
    unlinkSync(directory)
    renameSync(directory + '.away', directory)
  }
  if (going) setImmediate(turn)
  else parentPort.postMessage('ended'), parentPort.close()
}
turn()
`

let scratch = ''
let inside = ''
let outside = ''
let share: LocalShare
let root: ShareNode

beforeEach(async () => {
  scratch = temporaryFolder('share')
  inside = join(scratch, 'inside')
  outside = join(scratch, 'outside')
  fs.mkdirSync(inside)
  fs.mkdirSync(outside)
  share = new LocalShare(inside)
  root = share.root()
})
afterEach(async () => {
  root.release()
  await share.close()
})

async function contentOf(node: ShareNode): Promise<string> {
  const file = await node.open({ ...ACCESS, write: false })
  const bytes = new Uint8Array(100)
  const length = await file.read(0, bytes)
  await file.close()
  return Buffer.from(bytes.subarray(0, length)).toString()
}

/** The value of an act; null where it fails. */
function orNull<T>(act: () => T): T | null {
  try {
    return act()
  } catch {
    return null
  }
}

describe.skipIf(!hasProc)(`a directory of the host${skipNote(hasProc, 'there is no /proc')}`, () => {
  test('appends where the host has the end of the file, whoever has moved it', async () => {
    const made = await root.create('log', { ...NEW, append: true })
    const other = await made.node.open({ ...ACCESS, append: true })
    for (const file of [made.file, other, made.file]) {
      await file.write(0, Buffer.from('guest '))
      fs.appendFileSync(join(inside, 'log'), 'host ')
    }
    expect(fs.readFileSync(join(inside, 'log'), 'utf8')).toBe('guest host '.repeat(3))
    for (const file of [made.file, other]) await file.close()
    made.node.release()
  })

  test("new files and directories have the mode that the guest gives, whatever the host's mask is", async () => {
    const modeOf = (name: string): number => fs.lstatSync(join(inside, name)).mode & 0o7777
    const made = await root.create('file', { ...NEW, mode: 0o666 })
    await root.makeDirectory('dir', 0o1777)
    expect([modeOf('file'), modeOf('dir')]).toEqual([0o666, 0o1777])
    // A file that exists already keeps its mode.
    fs.chmodSync(join(inside, 'file'), 0o640)
    const again = await root.create('file', { ...NEW, exclusive: false, mode: 0o666 })
    expect(modeOf('file')).toBe(0o640)
    // The bit that hands a group on is the host's.
    fs.chmodSync(join(inside, 'dir'), 0o2755)
    const dir = await root.child('dir')
    await dir.makeDirectory('below', 0o777)
    expect(modeOf('dir/below')).toBe(0o2777)
    // The time of the last change is now, and the rest is as it was.
    await dir.change({ mode: 0o7711 })
    const before = (await dir.stat()).changedNs
    await vi.waitFor(async () => {
      await dir.change({})
      expect((await dir.stat()).changedNs).toBeGreaterThan(before)
    })
    expect(modeOf('dir')).toBe(0o7711)
    for (const { node, file } of [made, again]) {
      await file.close()
      node.release()
    }
    dir.release()
  })

  test('a machine that has ended leaves nothing open, and reaches nothing more', async () => {
    const held = (): number => fs.readdirSync('/proc/self/fd').length
    const before = held()
    fs.writeFileSync(join(inside, 'file'), 'content')
    const old = await root.child('file')
    const file = await old.open(ACCESS)
    const others = await Promise.all(Array.from({ length: 50 }, async () => root.child('file')))
    const syncing = file.sync()
    await share.renew()
    await syncing
    expect([others.length, held() <= before]).toEqual([50, true])
    const now = share.root()
    const again = now.child('file')
    // Its numbers may be other files' by now.
    await file.close()
    for (const node of [old, ...others]) node.release()
    expect(() => file.write(0, Buffer.from('late'))).toThrow(expect.objectContaining({ code: 'ESTALE' }))
    expect(() => old.stat()).toThrow(expect.objectContaining({ code: 'ESTALE' }))
    expect(await contentOf(again)).toBe('content')
    for (const node of [now, again]) node.release()
  })

  test('one machine at a time has a file for its locks, and loses it when it ends', async () => {
    fs.writeFileSync(join(inside, 'file'), '')
    fs.linkSync(join(inside, 'file'), join(inside, 'link'))
    const other = new LocalShare(inside)
    const [first, again] = await Promise.all(
      ['file', 'link'].map(async (name) => (await root.child(name)).open(ACCESS)),
    )
    const theirs = other.root().child('file').open(ACCESS)
    expect([await first!.lock!(), await again!.lock!(), await theirs.lock!()]).toEqual([true, true, false])
    first!.unlock!()
    expect(await theirs.lock!()).toBe(false)
    await share.renew()
    expect(await theirs.lock!()).toBe(true)
    await other.close()
    root = share.root()
  })

  test('a machine after a reset begins with nothing open', async () => {
    const backEnds = await BackEnds.open(
      { virtio: [{ kind: 'share', tag: 'work', path: inside, readOnly: false }] },
      new Chardevs(),
    )
    const first = (await backEnds.forMachine()).virtio![0]!
    if (first.kind !== 'share') throw new Error(`a device ${first.kind}`)
    const node = await first.share.root()
    await backEnds.forMachine()
    expect(() => node.stat()).toThrow(expect.objectContaining({ code: 'ESTALE' }))
    expect(await backEnds.close()).toEqual([])
  })

  test('has links that are read, and never followed', async () => {
    fs.writeFileSync(join(outside, 'secret'), 'secret')
    fs.symlinkSync(outside, join(inside, 'link'))
    fs.symlinkSync(join(outside, 'secret'), join(inside, 'file-link'))
    const link = await root.child('link')
    expect((await link.stat()).mode & 0o170_000).toBe(0o120_000)
    expect(await root.readLink('link')).toBe(outside)
    expect(() => link.child('secret')).toThrow(expect.objectContaining({ code: 'ENOTDIR' }))
    expect(() => link.list()).toThrow()
    expect(() => link.create('new', NEW)).toThrow()
    expect(() => link.makeDirectory('new', 0o755)).toThrow()
    expect(() => link.rename('secret', root, 'mine')).toThrow()
    const file = await root.child('file-link')
    expect(() => file.open(ACCESS)).toThrow()
    expect(() => file.change({ size: 0 })).toThrow()
    expect(() => root.create('file-link', { ...NEW, exclusive: false })).toThrow(
      expect.objectContaining({ code: 'ELOOP' }),
    )
    await root.addName('second', root, 'file-link')
    expect(fs.readlinkSync(join(inside, 'second'))).toBe(join(outside, 'secret'))
    await root.makeLink('made', '/etc/passwd')
    expect(fs.readlinkSync(join(inside, 'made'))).toBe('/etc/passwd')
    link.release()
    file.release()
    expect([fs.readdirSync(outside), fs.readFileSync(join(outside, 'secret'), 'utf8')]).toEqual([['secret'], 'secret'])
  })

  test('opens no pipes or devices, and does not wait for them', async () => {
    execFileSync('mkfifo', [join(inside, 'pipe')])
    const pipe = await root.child('pipe')
    expect(() => pipe.open(ACCESS)).toThrow(expect.objectContaining({ code: 'EACCES' }))
    expect(() => pipe.change({ size: 0 })).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(() => root.create('pipe', { ...NEW, exclusive: false })).toThrow(expect.objectContaining({ code: 'EACCES' }))
    pipe.release()
  })

  test('an entry that is looked at has the attributes of its node, and no descriptor', async () => {
    fs.writeFileSync(join(inside, 'file'), 'content')
    fs.mkdirSync(join(inside, 'folder'), 0o700)
    fs.symlinkSync('/etc/passwd', join(inside, 'link'))
    execFileSync('mkfifo', [join(inside, 'pipe')])
    const before = fs.readdirSync('/proc/self/fd').length
    const names = ['file', 'folder', 'link', 'pipe']
    const seen = names.map((name) => root.look!(name))
    expect(() => root.look!('none')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before)
    for (const [i, name] of names.entries()) {
      const node = await root.child(name)
      expect(await node.stat()).toEqual(seen[i])
      node.release()
    }
  })

  test.each(['', '.', '..', 'a/b', '/', '../outside', 'a\0b'])('the name %j is none', async (name) => {
    expect(() => root.look!(name)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(() => root.child(name)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(() => root.create(name, NEW)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(() => root.remove(name, false)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  })

  test('keeps a guest inside while a thread swaps a directory by a link to the outside', async () => {
    fs.mkdirSync(join(inside, 'dir'))
    fs.writeFileSync(join(inside, 'dir/file'), 'inside')
    fs.writeFileSync(join(outside, 'file'), 'secret')
    const swaps = new Int32Array(new SharedArrayBuffer(4))
    const workerData = { directory: join(inside, 'dir'), outside, swaps }
    const worker = new Worker(SWAPPER, { eval: true, workerData })
    const found = { read: 0, refused: 0, made: 0 }
    // Directories and links were met, however the host shares out its processors.
    const isEnough = (): boolean => Atomics.load(swaps, 0) > 100 && found.read > 0 && found.made > 0
    const end = performance.now() + RACE_MS
    const wrong: string[] = []
    for (let i = 0; performance.now() < end || (!isEnough() && performance.now() < end + PATIENCE_MS); i++) {
      const dir = await orNull(() => root.child('dir'))
      if (dir === null) continue
      const file = await orNull(() => dir.child('file'))
      if (file === null) found.refused++
      else {
        const text = await contentOf(file)
        if (text === 'inside') found.read++
        else wrong.push(text)
        file.release()
      }
      const made = await orNull(() => dir.create(`new-${i}`, NEW))
      if (made !== null) {
        found.made++
        await made.file.close()
        made.node.release()
        await orNull(() => dir.remove(`new-${i}`, false))
      }
      dir.release()
    }
    worker.postMessage('end')
    await new Promise((resolve) => worker.once('message', resolve))
    await worker.terminate()
    expect(wrong).toEqual([])
    expect(fs.readdirSync(outside)).toEqual(['file'])
    expect(fs.existsSync(join(inside, 'dir/file'))).toBe(true)
    expect(isEnough(), JSON.stringify(found)).toBe(true)
  })

  test('is the same for machines of a cluster whatever was read, and whatever room there is', async () => {
    for (const name of ['b', 'c', 'a']) fs.writeFileSync(join(inside, name), '')
    fs.utimesSync(join(inside, 'a'), 5, 9)
    const still = await stillShare(share).root()
    const file = await still.child('a')
    expect(await still.list()).toEqual(['a', 'b', 'c'])
    expect([(await file.stat()).accessedNs, (await file.room()).freeBlocks]).toEqual([9_000_000_000n, 0])
    for (const node of [file, still]) node.release()
  })

  test('that is not there, or no directory, is refused', () => {
    expect(() => new LocalShare(join(scratch, 'nowhere'))).toThrow('there is no such folder to share')
    fs.writeFileSync(join(scratch, 'file'), '')
    fs.chmodSync(join(scratch, 'file'), 0o600)
    expect(() => new LocalShare(join(scratch, 'file'))).toThrow('it is a file, not a folder to share')
  })
})
