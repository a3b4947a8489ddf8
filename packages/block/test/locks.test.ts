import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, linkSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { createQcow2 } from '../src/index.ts'
import { FileStorage, openImage, type OpenImageOptions } from '../src/node/index.ts'
import { lockByFile, shareByFile } from '../src/node/lock-file.ts'

const folder = temporaryFolder('locks')

let files = 0
function file(): string {
  const path = join(folder, `${files++}.img`)
  writeFileSync(path, new Uint8Array(1 << 20))
  return path
}

/** A qcow2 image above a raw file. */
async function overlayOf(base: string): Promise<string> {
  const path = `${base}.${files++}.qcow2`
  const storage = await FileStorage.create(path)
  await createQcow2(storage, { bytes: 1 << 20, backing: { name: base, format: 'raw' } })
  await storage.close()
  return path
}

const locked = expect.objectContaining({ code: 'ERR_LOCKED' })

/** Runs a program of ours in a process of its own, which says `open` when it has what it wants. */
async function elsewhere(code: string): Promise<ReturnType<typeof spawn>> {
  const child = spawn(process.execPath, ['--conditions=retrap-source', '--input-type=module', '-e', code], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  return child
}

const opens = (path: string, options: OpenImageOptions = {}): string =>
  `const { openImage } = await import(${JSON.stringify(new URL('../src/node/index.ts', import.meta.url).href)})
   globalThis.image = await openImage(${JSON.stringify(path)}, ${JSON.stringify(options)})
   console.log('open'); setInterval(() => {}, 1000)`

describe('a file that is open for writing', () => {
  test('is not opened a second time, by no name, and is free after close', async () => {
    const path = file()
    const image = await openImage(path)
    symlinkSync(path, `${path}.symbolic`)
    linkSync(path, `${path}.hard`)
    for (const name of [path, `${path}.symbolic`, `${path}.hard`]) {
      await expect(openImage(name)).rejects.toThrow(locked)
      await expect(openImage(name, { readOnly: true })).rejects.toThrow(locked)
      await expect(openImage(name, { snapshot: true })).rejects.toThrow(locked)
    }
    await image.close()
    await (await openImage(path)).close()
  })

  test('is refused to a second process until the first one ends, even by a kill', async () => {
    const path = file()
    const child = await elsewhere(opens(path))
    await expect(openImage(path)).rejects.toThrow(locked)
    // It answers nobody, and those who ask are more than wait for an answer.
    child.kill('SIGSTOP')
    for (let asked = 0; asked < 520; asked++)
      await expect(FileStorage.open(path, { readOnly: true })).rejects.toThrow(locked)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await openImage(path)).close()
  })

  test('does not keep its process from ending', async () => {
    const child = await elsewhere(opens(file()).replace(/setInterval.*/, ''))
    expect((await once(child, 'exit'))[0]).toBe(0)
  })
})

// Elsewhere the operating system is asked itself.
const showsReaders = process.platform !== 'linux' || existsSync('/proc/net/unix')

describe.skipIf(!showsReaders)(`a file that is read${skipNote(showsReaders, 'there is no /proc/net/unix')}`, () => {
  test.each([
    { as: 'read-only', open: (path: string) => openImage(path, { readOnly: true }) },
    { as: 'with writes in memory', open: (path: string) => openImage(path, { snapshot: true }) },
    { as: 'below another image', open: async (path: string) => openImage(await overlayOf(path), { format: 'qcow2' }) },
  ])('$as is refused to a writer, not to further readers, until the last one is closed', async ({ open }) => {
    const path = file()
    const readers = [await open(path), await open(path)]
    linkSync(path, `${path}.hard`)
    for (const reader of readers) {
      await expect(openImage(`${path}.hard`)).rejects.toThrow(locked)
      await expect(FileStorage.create(path, 512)).rejects.toThrow(locked)
      await reader.close()
    }
    // A writer that was refused has left nothing behind.
    await (await openImage(path, { readOnly: true })).close()
    await (await openImage(path)).close()
  })

  test('by another process is refused until that one ends, even by a kill', async () => {
    const path = file()
    const child = await elsewhere(opens(await overlayOf(path), { format: 'qcow2' }))
    await expect(openImage(path)).rejects.toThrow(/another machine reads it, or an image above it; end that one/)
    const reader = await openImage(path, { readOnly: true })
    child.kill('SIGKILL')
    await once(child, 'exit')
    await reader.close()
    await (await openImage(path)).close()
  })

  test('may be written meanwhile where its lock is left for later', async () => {
    const path = file()
    const reader = await openImage(path, { readOnly: true, lock: 'later' })
    await (await openImage(path)).close()
    await reader.close()
  })

  test('and written at once is refused to one of both at least', async () => {
    for (let round = 0; round < 20; round++) {
      const path = file()
      const opened = await Promise.allSettled([openImage(path), openImage(path, { readOnly: true })])
      const images = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      expect(images.length).toBeLessThan(2)
      for (const image of images) await image.close()
    }
  })
})

const sector = new Uint8Array(512).fill(7)

describe.each(['raw', 'qcow2'] as const)('a %s image whose lock is handed over', (format) => {
  const made = async (): Promise<string> => (format === 'raw' ? file() : overlayOf(file()))

  test('is the next one from there on, with all that was written', async () => {
    const path = await made()
    const [first, next] = [await openImage(path, { format }), await openImage(path, { format, lock: 'later' })]
    await expect(next.claim!()).rejects.toThrow(locked)
    await first.close()
    const images = [await openImage(path, { format })]
    await images[0]!.write(512, sector)
    await images[0]!.release!()
    images.push(await openImage(path, { format, lock: 'later' }))
    const into = new Uint8Array(512)
    await images[1]!.read(512, into)
    expect(into).toEqual(sector)
    await expect(images[1]!.write(0, sector, { durable: true })).rejects.toThrow('not locked for writing')
    await images[1]!.claim!()
    await expect(images[0]!.claim!()).rejects.toThrow(locked)
    await expect(images[0]!.write(0, sector, { durable: true })).rejects.toThrow('not locked for writing')
    await images[1]!.write(0, sector, { durable: true })
    await next.close()
    for (const image of images) await image.close().catch(() => {})
    await (await openImage(path, { format })).close()
  })

  test('is taken back, unless it was written meanwhile', async () => {
    const path = await made()
    const image = await openImage(path, { format })
    await image.release!()
    await image.claim!()
    await image.write(0, sector)
    await image.release!()
    const other = await openImage(path, { format })
    await other.write(512, sector)
    await other.close()
    await expect(image.claim!()).rejects.toThrow('another machine has written it meanwhile')
    await image.close()
    // The claim that was refused holds nothing.
    await (await openImage(path, { format })).close()
  })
})

/** Opens a file and closes it. @returns why it could not be opened */
const tryOpen = (path: string, options: OpenImageOptions = {}): Promise<string> =>
  openImage(path, options).then(
    (image) => image.close().then(() => 'opened'),
    (error: unknown) => String(error),
  )

const qemu = 'qemu-system-x86_64'
const hasQemu = hasProgram(qemu) && existsSync('/proc/locks')
test.runIf(hasQemu)(
  `a file that QEMU has open for writing is refused${skipNote(hasQemu, 'there is no QEMU')}`,
  async () => {
    const path = file()
    const child = spawn(qemu, ['-S', '-display', 'none', '-monitor', 'stdio', '-drive', `file=${path},format=raw`])
    await once(child.stdout, 'data')
    // The monitor greets before QEMU has all of its locks.
    await expect.poll(() => tryOpen(path, { readOnly: true })).toContain('another program has locked it')
    expect(await tryOpen(path)).toContain('another program has locked it')
    child.stdin.write('quit\n')
    await once(child, 'exit')
    await (await openImage(path)).close()
  },
)

const hasFlock = hasProgram('flock') && existsSync('/proc/locks')
test.runIf(hasFlock).each([
  { kind: '--exclusive', reader: locked },
  { kind: '--shared', reader: null },
])(
  `a file under flock $kind of another program${skipNote(hasFlock, 'there is no flock')}`,
  async ({ kind, reader }) => {
    const path = file()
    const child = spawn('flock', [kind, path, '-c', 'echo held; read line'])
    await once(child.stdout, 'data')
    await expect(openImage(path)).rejects.toThrow(locked)
    for (const options of [{ readOnly: true }, { snapshot: true }]) {
      if (reader === null) await (await openImage(path, options)).close()
      else await expect(openImage(path, options)).rejects.toThrow(reader)
    }
    child.stdin.write('\n')
    await once(child, 'exit')
    await (await openImage(path)).close()
  },
)

test.runIf(hasQemu)(
  `a file that QEMU only reads is refused to a writer, not to a reader${skipNote(hasQemu, 'there is no QEMU')}`,
  async () => {
    const path = file()
    const drive = `file=${path},format=raw,media=cdrom,readonly=on`
    const child = spawn(qemu, ['-S', '-display', 'none', '-monitor', 'stdio', '-drive', drive])
    await once(child.stdout, 'data')
    await expect.poll(() => tryOpen(path)).toContain('another program has locked it')
    expect(await tryOpen(path, { readOnly: true })).toBe('opened')
    child.stdin.write('quit\n')
    await once(child, 'exit')
  },
)

describe('a lock file, for systems without named locks', () => {
  test('is refused while its process lives, and taken over after it', async () => {
    const path = file()
    const lock = await lockByFile(path)
    await expect(shareByFile(path)).rejects.toThrow(locked)
    await expect(lockByFile(path)).rejects.toThrow(locked)
    await lock.release()
    await (await shareByFile(path)).release()
    // A number that no process has: the largest of Linux is 2^22.
    writeFileSync(`${path}.retrap-lock`, '99999999')
    await (await lockByFile(path)).release()
  })

  test('that is empty is of a process about to write its number, for ten seconds', async () => {
    const path = file()
    writeFileSync(`${path}.retrap-lock`, '')
    await expect(lockByFile(path)).rejects.toThrow(locked)
    const past = Date.now() / 1000 - 11
    utimesSync(`${path}.retrap-lock`, past, past)
    await (await shareByFile(path)).release()
    await (await lockByFile(path)).release()
  })

  test('is that of the file, by whatever link', async () => {
    const path = file()
    symlinkSync(path, `${path}.link`)
    const lock = await lockByFile(path)
    await expect(lockByFile(`${path}.link`)).rejects.toThrow(locked)
    await expect(shareByFile(`${path}.link`)).rejects.toThrow(locked)
    await lock.release()
  })

  test('of a process that has ended is taken over by one of many', async () => {
    for (let round = 0; round < 20; round++) {
      const path = file()
      writeFileSync(`${path}.retrap-lock`, '99999999')
      const taken = await Promise.allSettled(Array.from({ length: 8 }, () => lockByFile(path)))
      expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    }
  })

  test('is not removed while another process removes it; a removal that was killed is named', async () => {
    const path = file()
    const guard = `${path}.retrap-lock-removal`
    writeFileSync(`${path}.retrap-lock`, '99999999')
    writeFileSync(guard, '')
    await expect(lockByFile(path)).rejects.toThrow(locked)
    const past = Date.now() / 1000 - 11
    utimesSync(guard, past, past)
    await expect(lockByFile(path)).rejects.toThrow(`${guard}: a process left it; delete it`)
  })

  test('of readers is refused to a writer while one of them lives', async () => {
    const path = file()
    const readers = [await shareByFile(path), await shareByFile(path)]
    for (const reader of readers) {
      await expect(lockByFile(path)).rejects.toThrow(locked)
      await reader.release()
    }
    writeFileSync(`${path}.retrap-lock-reader-0`, '99999999')
    await (await lockByFile(path)).release()
    writeFileSync(`${path}.retrap-lock-reader-0`, '99999999')
    await (await shareByFile(path)).release()
    expect(readdirSync(folder).filter((name) => name.includes('.retrap-lock-reader-'))).toEqual([])
  })

  test('that cannot be made is an error for a writer, and none for a reader', async () => {
    await expect(lockByFile(join(folder, 'absent', 'x.img'))).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_OPEN' }),
    )
    await (await shareByFile(join(folder, 'absent', 'x.img'))).release()
  })
})
