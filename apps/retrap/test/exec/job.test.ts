import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryShare, type ShareNode } from '@retrap/virtio/p9'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import {
  parseEmptyFolder,
  parseSharedFolder,
  parseVolume,
  readVariable,
  readVariables,
} from '../../src/options/container-options.ts'
import { encodeJob, encodeSignal, encodeStart, type Job, quote } from '@retrap/linux-guest/jobs/job'
import { keepMachine, pruneMachines } from '@retrap/linux-guest/jobs/kept-machine'
import { GuestFiles } from '@retrap/linux-guest/jobs/lookup'
import { keptKind, runBytes } from '@retrap/linux-guest/jobs/machine'
import { readProgram, type WantedProgram } from '@retrap/linux-guest/jobs/program'
import type { ExecConfig } from '@retrap/linux-guest/jobs/root'

const JOB: Job = {
  ...{ program: ['/bin/echo', "it's", 'a b'], env: ['A=1'], uid: 7, gid: 8, workingDirectory: '/work dir' },
  mounts: [
    { path: '/work dir', realPath: '/work dir', name: 'folder0', readOnly: false },
    { path: '/work dir/inner', name: 'memory0', options: 'mode=1777,size=1m' },
  ],
  ...{ home: { path: '/home/ann', uid: 7, gid: 8 }, hostname: 'here', terminal: undefined, preparation: [] },
  ...{ files: { '/etc/passwd': 'root:x:0:0::/:/bin/sh\n' }, entropy: new Uint8Array(3) },
}

describe('a job as the commands of a guest', () => {
  test('is one that a shell can read, with and without a terminal', () => {
    for (const terminal of [undefined, { columns: 100, rows: 30 }])
      execFileSync('sh', ['-n'], { input: encodeJob({ ...JOB, terminal }) })
  })

  test('quotes whatever comes from the user', () => {
    const words = ["it's", '$(x) `y` "z"', 'two\nlines', '']
    const said = execFileSync('sh', ['-c', `printf '%s|' ${words.map(quote).join(' ')}`], { encoding: 'utf8' })
    expect(said).toBe(words.map((word) => `${word}|`).join(''))
    expect(encodeJob(JOB)).toContain(String.raw`'/bin/echo' 'it'\''s' 'a b'`)
  })

  test.each([
    { given: 'it is mounted', mount: 'true', said: '' },
    { given: 'mount fails', mount: 'false', said: 'end mountfolder0\n' },
    { given: 'no folder to enter', enter: 'false', mount: 'true', said: 'end linkfolder0\nend mountfolder0\n' },
  ])('says how a share is mounted: $given', ({ enter = 'true', mount, said }) => {
    const [command, inner] = encodeJob(JOB)
      .split('\n')
      .filter((line) => /mount -(-bind|t)/.test(line))
    expect(inner).toContain("enter '/new/work dir/inner' || ! echo end linkmemory0")
    expect(inner).toContain('mount -t tmpfs -o mode=1777,size=1m memory0 .')
    const functions = `exec 7>&1; enter() { ${enter}; }; mount() { ${mount}; }`
    expect(execFileSync('sh', ['-c', `${functions}\n${command}`], { encoding: 'utf8' })).toBe(said)
  })

  test('has the guest no earlier than the host: files of a share are not of its future', () =>
    expect(encodeStart(1_700_000_000.25)).toContain('date -s @1700000001 '))

  test('sends signals of a terminal to all, and others to the program', () => {
    const lines = 'read pid </pid && kill -INT -$pid\nread pid </pid && kill -TERM $pid\n'
    expect(encodeSignal('SIGINT') + encodeSignal('SIGTERM')).toBe(lines)
  })
})

describe('options', () => {
  test.each([
    { text: '/a/b', path: '/a/b', readOnly: true },
    { text: '/a:ro', path: '/a', readOnly: true },
    { text: '/a:b:rw', path: '/a:b', readOnly: false },
    { text: '/a:/b/../c', path: '/a', at: '/c', readOnly: true },
    { text: '/a:/b:/c:rw', path: '/a:/b', at: '/c', readOnly: false },
  ])('--share $text', ({ text, path, at = path, readOnly }) =>
    expect(parseSharedFolder(text)).toEqual({ path, at, readOnly }),
  )

  test.each([
    { text: '/a:/b', readOnly: false },
    { text: '/a:/b:ro', readOnly: true },
    { text: '/a:/b:ro,Z', readOnly: true },
    { text: '/a:/b:z', readOnly: false },
  ])('-v $text', ({ text, readOnly }) => expect(parseVolume(text)).toEqual({ path: '/a', at: '/b', readOnly }))

  test('name a folder that has a colon and a slash behind it', () => {
    const folder = temporaryFolder('colon')
    const path = join(folder, 'a:/b')
    mkdirSync(path, { recursive: true })
    expect(parseSharedFolder(`${path}:rw`)).toEqual({ path, at: path, readOnly: false })
    expect(parseSharedFolder(`${path}:/c`)).toEqual({ path, at: '/c', readOnly: true })
    writeFileSync(join(folder, 'env'), '# A=0\r\n  A=1 "x" # y\n\nB\n')
    expect(readVariables(join(folder, 'env'))).toEqual(['A=1 "x" # y', 'B'])
  })

  test('of an empty folder', () => {
    expect(parseEmptyFolder('/a/')).toEqual({ at: '/a', options: 'mode=1777' })
    expect(parseEmptyFolder('/a:size=50%,ro,mode=700')).toEqual({ at: '/a', options: 'mode=1777,size=50%,ro,mode=700' })
  })

  test.each([
    [() => parseVolume('/a'), /--tmpfs \/a/],
    [() => parseVolume('data:/a'), /write a folder, such as \.\/data/],
    [() => parseSharedFolder('/a:/'), /--root takes it/],
    [() => parseEmptyFolder('a'), /whole path/],
    [() => parseEmptyFolder('/a:size=1;reboot'), /is not known/],
    [() => readVariables('/none/of/it'), /--env-file .*ENOENT/],
  ] as const)('%s is refused', (act, why) => expect(act).toThrow(why))

  test('refuse the whole host, and variables without a name', () => {
    expect(() => parseSharedFolder('/')).toThrow(/name the folders/)
    expect(() => readVariable('=x', {})).toThrow(/NAME=VALUE/)
    const read = ['A=b=c', 'A', 'B'].map((text) => readVariable(text, { A: 'x' }))
    expect(read).toEqual(['A=b=c', 'A=x', undefined])
  })
})

describe('the program of a job', () => {
  const root = new MemoryShare()
  root.write('usr/bin/tool', 'x')
  root.write('usr/bin/data', 'x')
  root.write('etc/passwd', 'ann:x:5:6::/home/ann:/bin/sh\n')
  root.write('etc/group', 'ops:x:9:\n')
  const common = { env: [], user: '', workingDirectory: '' }
  const config = { ...common, env: ['PATH=/usr/bin', 'A=image'], entrypoint: [], command: ['tool'] }
  const wanted: WantedProgram = { ...common, arch: 'amd64', command: [] }
  const read = async (more: Partial<WantedProgram>, also: Partial<ExecConfig> = {}) => {
    const tool = await (await (await root.root().child('usr')).child('bin')).child('tool')
    await tool.change({ mode: 0o755 })
    const files = new GuestFiles(root, [{ path: '/w/x', share: new MemoryShare() }])
    return readProgram({ ...wanted, ...more }, { ...config, ...also }, files)
  }

  test('gives all nodes back that it has looked at', async () => {
    const node = Object.getPrototypeOf(root.root()) as ShareNode
    await read({})
    const [child, release, top] = [vi.spyOn(node, 'child'), vi.spyOn(node, 'release'), vi.spyOn(root, 'root')]
    await read({ user: 'ann:ops' })
    // These are of this test.
    const got = [...child.mock.results, ...top.mock.results].filter(({ type }) => type === 'return').length
    expect(got - release.mock.calls.length).toBe(4)
    vi.restoreAllMocks()
  })

  test('has what the root says, and what the user says instead', async () => {
    expect(await read({})).toMatchObject({ program: ['tool'], uid: 0, gid: 0, workingDirectory: '/' })
    const program = { command: ['/usr/bin/tool', '-x'], env: ['A=mine'] }
    const own = await read({ ...program, user: 'ann:ops', workingDirectory: '/w/x' })
    expect(own).toMatchObject({ program: ['/usr/bin/tool', '-x'], uid: 5, gid: 9, workingDirectory: '/w/x' })
    expect(own.env).toEqual(expect.arrayContaining(['A=mine', 'HOME=/home/ann', 'PATH=/usr/bin']))
    expect(own.files).not.toHaveProperty(['/etc/passwd'])
    expect(own.files).toHaveProperty(['/etc/hosts'])
    // It is there for no share, and root's own always.
    expect([own.home, (await read({})).home]).toEqual([{ path: '/home/ann', uid: 5, gid: 9 }, undefined])
  })

  test('has the name of the host, and folders of its PATH that are there', async () => {
    const host = { env: [], hostname: 'here', searchPath: '/none:/w/x:relative:/usr/bin' }
    const { env, hostname, files } = await read({}, host)
    const usual = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin'
    expect(env).toEqual([`PATH=/w/x:/usr/bin:${usual}`, 'HOME=/root', 'HOSTNAME=here'])
    expect([hostname, files['/etc/hosts']]).toEqual(['here', '127.0.0.1 localhost here\n::1 localhost\n'])
  })

  test.each([
    { more: { command: ['nothing'] }, exitCode: 127 },
    { more: { command: ['/usr/bin/nothing'] }, exitCode: 127 },
    { more: { command: ['data'] }, exitCode: 126 },
    { more: { command: ['/usr/bin'] }, exitCode: 126 },
    { more: { user: 'bob' }, exitCode: 125 },
    { more: { workingDirectory: '/none' }, exitCode: 125 },
  ])('$more ends with $exitCode', ({ more, exitCode }) => expect(read(more)).rejects.toMatchObject({ exitCode }))
})

test('one kept machine serves runs with up to eight processors and 3 GiB', () => {
  const kind = { arch: 'amd64', debian: '12', cpu: undefined, kernel: undefined, devices: [] } as const
  const run = { ...kind, cpus: 2, memoryBytes: 2_000_000_000 }
  expect([keptKind(run), runBytes(run)]).toEqual([{ ...kind, cpus: 8, memoryBytes: 512 << 20 }, 15 << 27])
})

test('of two that want a machine one makes it, and the other waits', async () => {
  const cache = temporaryFolder('kept')
  vi.stubEnv('XDG_CACHE_HOME', cache)
  try {
    const path = join(cache, 'retrap', 'exec', 'x.snapshot')
    let [made, waited] = [0, 0]
    const make = async (): Promise<void> => {
      made++
      await new Promise((resolve) => setTimeout(resolve, 50))
      writeFileSync(path, 'x')
    }
    const one = (): Promise<void> => keepMachine(path, make, () => void waited++)
    await Promise.all([one(), one()])
    expect([made, waited]).toEqual([1, 1])
    const folder = join(cache, 'retrap', 'exec')
    for (const name of ['gone', 'held']) writeFileSync(join(folder, `${name}.snapshot.lock`), '')
    utimesSync(join(folder, 'gone.snapshot.lock'), 0, 0)
    pruneMachines()
    expect(readdirSync(folder).filter((name) => name.endsWith('.lock'))).toEqual(['held.snapshot.lock'])
  } finally {
    vi.unstubAllEnvs()
  }
})
