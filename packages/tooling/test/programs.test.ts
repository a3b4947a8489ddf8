import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Apt } from '@retrap/debian'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { PROGRAMS, programsOf, type ProgramTable, programVersions, provideDebianPrograms } from '../src/programs.ts'
import { programsOfTests } from '../src/programs-of-tests.ts'

const hasApt = await Apt.isAvailable()

/** Packages as qemu-system-x86 and qemu-system-arm are: programs that find a shared package's file beside themselves. */
const PACKAGES: readonly {
  readonly name: string
  readonly depends?: string
  readonly file: string
  /** The program, if it is another than `PROGRAM`. */
  readonly text?: string
}[] = [
  { name: 'test-roms', file: 'usr/share/test/rom' },
  { name: 'test-common', file: 'usr/share/test/common' },
  { name: 'test-x86', depends: 'test-common, test-roms', file: 'usr/bin/test-x86' },
  { name: 'test-arm', depends: 'test-common', file: 'usr/bin/test-arm' },
  { name: 'test-library', file: 'usr/lib/x86_64-linux-gnu/libtest.so.1' },
  {
    name: 'test-linked',
    depends: 'test-library',
    file: 'usr/bin/test-linked',
    text: '#!/bin/sh\ncat "$LD_LIBRARY_PATH/libtest.so.1"\n',
  },
  {
    name: 'test-absolute',
    depends: 'test-common',
    file: 'usr/bin/test-absolute',
    text: '#!/bin/sh\ncat /usr/share/test/common\n',
  },
]
const TABLE: ProgramTable = [
  { packages: ['test-x86'], programs: ['test-x86'] },
  { packages: ['test-arm', 'test-roms'], programs: ['test-arm'] },
]
/** Prints the two files that its packages have. */
const PROGRAM = '#!/bin/sh\ncat "$(dirname "$0")/../share/test/common" "$(dirname "$0")/../share/test/rom"\n'

let work = ''
beforeAll(() => {
  work = fs.mkdtempSync(join(tmpdir(), 'retrap-programs-'))
  if (hasApt) makeArchive()
})
afterAll(() => fs.rmSync(work, { recursive: true }))
afterEach(() => vi.unstubAllEnvs())

/** Builds the packages, and a list of them that apt reads. */
function makeArchive(): void {
  const lists = PACKAGES.map(({ name, depends, file, text = PROGRAM }) => {
    const tree = join(work, 'tree', name)
    fs.mkdirSync(join(tree, 'DEBIAN'), { recursive: true })
    // dpkg-deb wants others to read it, whatever the user's umask is.
    fs.chmodSync(join(tree, 'DEBIAN'), 0o755)
    fs.mkdirSync(join(tree, file, '..'), { recursive: true })
    const program = file.startsWith('usr/bin')
    fs.writeFileSync(join(tree, file), program ? text : `${name}\n`, { mode: program ? 0o755 : 0o644 })
    const control = `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n${
      depends === undefined ? '' : `Depends: ${depends}\n`
    }Description: for a test\n`
    fs.writeFileSync(join(tree, 'DEBIAN/control'), control)
    const archive = join(work, 'archive', `${name}_1_all.deb`)
    fs.mkdirSync(join(work, 'archive'), { recursive: true })
    execFileSync('dpkg-deb', ['--build', '--root-owner-group', tree, archive], { stdio: 'ignore' })
    const sha256 = createHash('sha256').update(fs.readFileSync(archive)).digest('hex')
    return `${control}Filename: ./${name}_1_all.deb\nSize: ${fs.statSync(archive).size}\nSHA256: ${sha256}\n`
  })
  fs.writeFileSync(join(work, 'archive/Packages'), lists.join('\n'))
}

/** Makes a host whose apt has the archive and these packages installed, and whose PATH has their programs. */
function stubHost(installed: readonly string[]): { readonly root: string; readonly hostBin: string } {
  const host = fs.mkdtempSync(join(work, 'host-'))
  const hostBin = join(host, 'bin')
  fs.mkdirSync(hostBin)
  const records = PACKAGES.filter(({ name }) => installed.includes(name)).map(({ name, file }) => {
    if (file.startsWith('usr/bin')) fs.writeFileSync(join(hostBin, name), '#!/bin/sh\necho the host\n', { mode: 0o755 })
    return `Package: ${name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: n\nDescription: d\n`
  })
  fs.writeFileSync(join(host, 'status'), records.join('\n'))
  fs.writeFileSync(join(host, 'sources.list'), `deb [trusted=yes] copy:${join(work, 'archive')} ./\n`)
  fs.writeFileSync(
    join(host, 'apt.conf'),
    `Dir::State::status "${join(host, 'status')}";\nDir::Etc::sourcelist "${join(host, 'sources.list')}";\nDir::Etc::sourceparts "/dev/null";\n`,
  )
  vi.stubEnv('APT_CONFIG', join(host, 'apt.conf'))
  vi.stubEnv('PATH', `${hostBin}:${process.env['PATH']}`)
  return { root: join(host, 'cache'), hostBin }
}

const outputOf = (program: string): string => spawnSync(program, { encoding: 'utf8' }).stdout

describe('the programs of tests', () => {
  const top = join(import.meta.dirname, '../../..')
  const testsOf = (place: string): string[] =>
    fs.globSync(`${place}/test/**/*.test.ts`, { cwd: top }).map((file) => join(top, file))

  test.each([
    ['packages/basics', []],
    ['packages/gdb', []],
    // By a helper beside the tests.
    ['packages/recording', ['lz4']],
    // By one of this package.
    ['packages/web', ['chromium-headless-shell']],
  ])('%s are those that they name, and no others are fetched', (place, programs) => {
    expect(programsOfTests(testsOf(place))).toEqual(programs)
  })

  test('are all that there are, for all packages', () => {
    const named = programsOfTests([...testsOf('packages/*'), ...testsOf('apps/*')])
    expect(PROGRAMS.filter(({ programs }) => !programs.some((one) => named.includes(one)))).toEqual([])
  })
})

describe.skipIf(!hasApt)('programs from packages', () => {
  test.each<[string, readonly string[], string]>([
    ['nothing is installed', [], 'test-common\ntest-roms\n'],
    ['another program is installed, with what both need', ['test-common', 'test-roms', 'test-x86'], 'the host\n'],
    ['only what a program needs is installed', ['test-common', 'test-roms'], 'test-common\ntest-roms\n'],
  ])('work where %s', async (_what, installed, x86) => {
    const { root } = stubHost(installed)
    await provideDebianPrograms({ table: TABLE, root })
    expect(outputOf('test-arm')).toBe('test-common\ntest-roms\n')
    expect(outputOf('test-x86')).toBe(x86)
  })

  test('replace a program that does not run', async () => {
    const { root, hostBin } = stubHost(['test-x86'])
    fs.writeFileSync(join(hostBin, 'test-x86'), '#!/bin/sh\nexit 1\n')
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    await provideDebianPrograms({ table: TABLE, root, programs: ['test-x86'] })
    expect(error.mock.calls.flat().join('\n')).toContain('test-x86 is on PATH but does not run')
    error.mockRestore()
    expect(outputOf('test-x86')).toBe('test-common\ntest-roms\n')
  })

  test('are fetched where they are wanted, and no others', async () => {
    const { root } = stubHost([])
    await provideDebianPrograms({ table: TABLE, root, programs: [] })
    expect(fs.existsSync(root)).toBe(false)
    await provideDebianPrograms({ table: TABLE, root, programs: ['test-arm'] })
    expect(outputOf('test-arm')).toBe('test-common\ntest-roms\n')
    expect(outputOf('test-x86')).toBeUndefined()
    await expect(provideDebianPrograms({ table: TABLE, root, programs: ['test-mips'] })).rejects.toThrow(/test-mips/)
  })

  test('find the libraries that their packages have', async () => {
    const { root } = stubHost([])
    await provideDebianPrograms({ table: [{ packages: ['test-linked'], programs: ['test-linked'] }], root })
    expect(outputOf('test-linked')).toBe('test-library\n')
  })

  const mount = 'mount -t overlay overlay -o lowerdir=/etc:/usr /usr'
  const canOverlay = spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', mount]).status === 0
  test.skipIf(!canOverlay)('find their files where they look for them by absolute paths', async () => {
    const { root } = stubHost([])
    const row = { packages: ['test-absolute'], programs: ['test-absolute'], overlaid: true }
    await provideDebianPrograms({ table: [row], root })
    expect(outputOf('test-absolute')).toBe('test-common\n')
    expect(fs.existsSync('/usr/share/test/common')).toBe(false)
  })

  test('are fetched once for all checkouts', async () => {
    const { root } = stubHost([])
    const path = process.env['PATH']
    await provideDebianPrograms({ table: TABLE, root })
    vi.stubEnv('PATH', path)
    vi.stubEnv('APT_CONFIG', '/nonexistent')
    const error = vi.spyOn(console, 'error')
    await provideDebianPrograms({ table: TABLE, root })
    expect(error).not.toHaveBeenCalled()
    expect(outputOf('test-arm')).toBe('test-common\ntest-roms\n')
    expect(fs.readdirSync(root)).toEqual(['programs'])
  })

  test('are fetched again when a file of theirs has changed', async () => {
    const { root } = stubHost([])
    const path = process.env['PATH']
    await provideDebianPrograms({ table: TABLE, root })
    const [rom = ''] = fs
      .readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('/rom'))
    fs.writeFileSync(join(root, rom), 'test-ROMS\n')
    vi.stubEnv('PATH', path)
    await provideDebianPrograms({ table: TABLE, root })
    expect(fs.readFileSync(join(root, rom), 'utf8')).toBe('test-roms\n')
  })

  test('that no package has are reported, and cost the others nothing', async () => {
    const { root } = stubHost([])
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    const table = [{ packages: ['test-none'], programs: ['test-none'] }, ...TABLE]
    await provideDebianPrograms({ table, root })
    expect(error.mock.calls.flat().join('\n')).toMatch(/tests that need test-none skip: .*Unable to locate package/)
    expect(outputOf('test-arm')).toBe('test-common\ntest-roms\n')
  })
})

test('a soak and a bench say which programs they compare with', () => {
  const known = programVersions()
    .split('\n')
    .map((line) => line.split(' ')[0])
  const cwd = fileURLToPath(new URL('../../..', import.meta.url))
  const files = fs.globSync('{packages,apps}/*/{test/soak/*.soak,bench/*.bench}.ts', { cwd })
  const named = new Map(files.map((file) => [basename(file), programsOf(join(cwd, file))]))
  expect([...named.values()].flat().filter((name) => !known.includes(name))).toEqual([])
  expect(named.get('block.soak.ts')).toEqual(['qemu-img', 'qemu-io'])
  expect(named.get('web.bench.ts')).toEqual(['chromium-headless-shell', 'firefox-esr'])
  expect(named.get('jit.soak.ts')).toEqual([])
})
