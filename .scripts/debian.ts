// The one place where programs that tests compare with come from. What is installed is used; what is missing is
// downloaded as Debian packages and unpacked below node_modules, which takes no privileges and touches nothing else.
// Without apt the tests that need a program skip, and say so.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from './workspace.ts'

/** Programs, and the packages that have them. */
const PROGRAMS: Readonly<Record<string, string>> = {
  as: 'binutils',
  objcopy: 'binutils',
  objdump: 'binutils',
  gcc: 'gcc',
  nasm: 'nasm',
  iasl: 'acpica-tools',
  'llvm-mc': 'llvm',
  'llvm-objdump': 'llvm',
  'llvm-mc-22': 'llvm-22',
  'llvm-objdump-22': 'llvm-22',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-x86_64': 'qemu-user',
  'qemu-aarch64': 'qemu-user',
  'qemu-arm': 'qemu-user',
  'aarch64-linux-gnu-gcc': 'gcc-aarch64-linux-gnu',
  'aarch64-linux-gnu-as': 'binutils-aarch64-linux-gnu',
  'aarch64-linux-gnu-objdump': 'binutils-aarch64-linux-gnu',
  'arm-linux-gnueabihf-gcc': 'gcc-arm-linux-gnueabihf',
  'arm-linux-gnueabihf-as': 'binutils-arm-linux-gnueabihf',
  'arm-linux-gnueabihf-objdump': 'binutils-arm-linux-gnueabihf',
  'chromium-headless-shell': 'chromium-headless-shell',
}

const folder = join(root, 'node_modules/.cache/retrap/debian')
/** Packages that the host always has, and of which a second copy would do harm. */
const NEVER = /^(libc6|libc-bin|libgcc-s1|libstdc\+\+6|libc6-dev|linux-libc-dev|base-files|dpkg|apt|perl-base|debconf)_/

const isInstalled = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((path) => existsSync(join(path, program)))

/**
 * Puts programs that are missing on PATH, fetched once. Whatever goes wrong is printed; the tests then skip.
 */
export function provideDebianPrograms(): void {
  if (process.platform !== 'linux') return
  const bin = join(folder, 'bin')
  process.env['PATH'] = [process.env['PATH'] ?? '', bin].join(delimiter)
  const missing = Object.keys(PROGRAMS).filter((program) => !isInstalled(program))
  if (missing.length === 0) return
  if (!isInstalled('apt-get') || !isInstalled('dpkg-deb')) {
    console.error(`without apt, tests that need ${missing.join(', ')} skip`)
    return
  }
  const packages = [...new Set(missing.map((program) => PROGRAMS[program] as string))]
  console.error(`fetching for the tests, once: ${packages.join(', ')}`)
  const problem = fetchPackages(packages)
  if (problem !== '') console.error(`not all could be had; tests that need them skip: ${problem}`)
  for (const program of missing) addWrapper(bin, program)
}

/** apt with a state of its own, reading the host's sources and what it has installed. */
function apt(...args: string[]): { status: number | null; stderr: string } {
  const settings: Record<string, string> = {
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': join(folder, 'cache'),
    'Debug::NoLocking': '1',
    'APT::Sandbox::User': '',
    'APT::Install-Recommends': '0',
    'Acquire::Retries': '2',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  return spawnSync('apt-get', [...options, '-qq', '-y', ...args], { encoding: 'utf8', timeout: 600_000 })
}

/** Downloads and unpacks packages and what they depend on. @returns what went wrong, or nothing */
function fetchPackages(packages: readonly string[]): string {
  for (const path of ['state/lists/partial', 'cache/archives/partial', 'root']) {
    mkdirSync(join(folder, path), { recursive: true })
  }
  const update = apt('update')
  if (update.status !== 0) return update.stderr.trim()
  let problem = ''
  // One by one: a package that this release has not must not cost the others.
  for (const name of packages) {
    const { status, stderr } = apt('install', '--download-only', name)
    if (status !== 0) problem += `${name}: ${stderr.trim()}\n`
  }
  const archives = join(folder, 'cache/archives')
  for (const file of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
    const archive = join(archives, file)
    if (!NEVER.test(file)) spawnSync('dpkg-deb', ['-x', archive, join(folder, 'root')], { stdio: 'ignore' })
    rmSync(archive)
  }
  return problem.trim()
}

/** A script that runs an unpacked program with the libraries that came with it. */
function addWrapper(bin: string, program: string): void {
  const unpacked = join(folder, 'root')
  // Chromium's own is first: what is in usr/bin is a script that goes by absolute paths.
  const [target] = [`usr/lib/chromium/${program}`, `usr/bin/${program}`, `usr/sbin/${program}`, `usr/lib/*/${program}`]
    .flatMap((pattern) => globSync(pattern, { cwd: unpacked }))
    .map((path) => join(unpacked, path))
  if (target === undefined) return
  const libraries = [
    ...new Set(
      globSync('usr/lib/x86_64-linux-gnu/{,*/}*.so*', { cwd: unpacked }).map((path) => join(unpacked, path, '..')),
    ),
  ]
  mkdirSync(bin, { recursive: true })
  const script = join(bin, program)
  const text = `#!/bin/sh\nLD_LIBRARY_PATH='${libraries.join(':')}' exec '${target}' "$@"\n`
  // Another run may be starting it.
  writeFileSync(`${script}.new`, text)
  chmodSync(`${script}.new`, 0o755)
  renameSync(`${script}.new`, script)
}
