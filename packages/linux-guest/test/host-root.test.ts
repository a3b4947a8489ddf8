import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { choices } from '@retrap/tooling/random'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import type { ShareNode } from '@retrap/virtio/p9'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HOST_PATHS, openHostRoot } from '@retrap/linux-guest/jobs/host-root'
import type { ExecRoot } from '@retrap/linux-guest/jobs/root'

let scratch = ''
let program = ''
let root: ExecRoot

beforeEach(async () => {
  scratch = temporaryFolder('root')
  mkdirSync(join(scratch, 'bin'))
  writeFileSync(join(scratch, 'secret'), 'secret')
  writeFileSync(join(scratch, 'bin', 'real'), '#!/bin/sh\n', { mode: 0o755 })
  program = join(scratch, 'bin', 'program')
  symlinkSync('real', program)
  if (hasProc) root = await openHostRoot([program])
})

afterEach(async () => void (hasProc && (await root.close())))

async function find(path: string): Promise<ShareNode> {
  let at = await root.share.root()
  for (const name of path.split('/').filter(Boolean)) at = await at.child(name)
  return at
}

/** Every path of the view's own directories, down to the first file or folder of the host. */
async function own(at: ShareNode, path = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of await at.list()) {
    const whole = `${path}/${name}`
    const isOwn = !HOST_PATHS.includes(whole) && ((await (await at.child(name)).stat()).mode & 0o170_000) === 0o040_000
    found.push(...(isOwn ? await own(await at.child(name), whole) : [whole]))
  }
  return found
}

describe.skipIf(!hasProc)(`the host as a root${skipNote(hasProc, 'shares need /proc')}`, () => {
  test('has the listed paths and the program, and nothing else of its folder', async () => {
    const paths = await own(await root.share.root())
    const links = ['/var/lock', '/var/run']
    expect(paths.filter((path) => !HOST_PATHS.includes(path)).toSorted()).toEqual([program, ...links].toSorted())
    expect(paths).toEqual(expect.arrayContaining(['/usr', '/etc/passwd', '/etc/hosts']))
    const read = paths.filter((path) => !links.includes(path))
    expect(root.explanation.map((line) => line.replace(/ -> .*/, ''))).toEqual(expect.arrayContaining(read))
    for (const path of [join(scratch, 'secret'), '/etc/shadow', '/etc/gshadow'])
      await expect(find(path)).rejects.toMatchObject({ code: 'ENOENT' })
    for (const path of ['/home', '/opt', '/mnt', '/var/log']) expect(await (await find(path)).list()).toEqual([])
    const stat = await (await find('/var/tmp')).stat()
    expect(stat).toMatchObject({ mode: 0o041_777 })
    // A guest's RAM has these numbers: they come of places alone, whatever was shared and looked at before.
    await root.close()
    root = await openHostRoot([program])
    expect(await (await find('/var/tmp')).stat()).toEqual(stat)
  })

  test('has of further folders what other users reach, but for what is hidden', async () => {
    const folder = join(scratch, 'whole')
    mkdirSync(folder)
    const draw = choices(0x0e7c)
    // A tree of random rights, with links into it from outside.
    const paths: string[] = []
    const grow = (at: string, depth: number): void => {
      for (let i = 0; i < 6; i++) {
        const path = join(at, `n${i}`)
        if (depth > 0 && draw.chance(1, 2)) {
          mkdirSync(path)
          grow(path, depth - 1)
        } else writeFileSync(path, path)
        paths.push(path)
      }
      for (const path of paths.filter((one) => dirname(one) === at))
        chmodSync(path, draw.pick([0o755, 0o750, 0o711, 0o644, 0o600]))
    }
    grow(folder, 3)
    const secret = join(folder, 'n6')
    writeFileSync(secret, 'secret')
    symlinkSync(secret, join(folder, 'n7'))
    symlinkSync(join(folder, 'n0'), join(folder, 'n8'))
    chmodSync(folder, 0o755)
    for (let at = scratch; at !== '/'; at = dirname(at)) chmodSync(at, statSync(at).mode | 0o111)
    await root.close()
    root = await openHostRoot([], { folders: [folder], hidden: new Set([secret]) })
    const seen = await Promise.all(
      paths.map((path) =>
        find(path).then(
          async (node) => ((await node.stat()).mode & 0o170_000) !== 0o040_000 && path,
          () => false,
        ),
      ),
    )
    if (process.getuid?.() === 0) {
      const script = 'for path; do [ -f "$path" ] && [ -r "$path" ] && echo "$path"; done; true'
      const reached = execFileSync('sh', ['-c', script, 'sh', ...paths], { encoding: 'utf8', uid: 65_534, gid: 65_534 })
      expect(seen.filter((path) => path !== false)).toEqual(reached.split('\n').filter((path) => path !== ''))
    }
    const names = await (await find(folder)).list()
    expect(names).toEqual(expect.arrayContaining(['n7', 'n8']))
    expect(names).not.toContain('n6')
    await expect(find(secret)).rejects.toMatchObject({ code: 'ENOENT' })
    expect([...root.missed!]).toEqual([])
    await expect(find(join(scratch, 'other'))).rejects.toMatchObject({ code: 'ENOENT' })
    expect([...root.missed!]).toEqual([join(scratch, 'other')])
  })

  test('shows files of the user as those of root, and has none of them changed', async () => {
    const file = await find(program)
    expect(await file.stat()).toMatchObject({ uid: 0, gid: 0, mode: 0o100_755, size: 10 })
    const into = new Uint8Array(100)
    const opened = await file.open({ read: true, write: true, truncate: true })
    expect(await opened.read(0, into)).toBe(10)
    expect(() => opened.write(0, into)).toThrow()
    await opened.close()
    expect(() => file.change({ mode: 0 })).toThrow(expect.objectContaining({ code: 'EROFS' }))
    const usr = await find('/usr')
    expect(() => usr.remove('bin', true)).toThrow(expect.objectContaining({ code: 'EROFS' }))
  })
})
