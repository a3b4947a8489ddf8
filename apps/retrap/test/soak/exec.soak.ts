// Programs of the host by `retrap exec`, and those of a Debian for Arm: exit code, both outputs, and the files that they write, as on the
// host itself.
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { makeDebianRoot } from '../support/debian-root.ts'
import { type Finished, runProgram, SOURCE_START } from '../support/processes.ts'

const DEADLINE_MS = 600_000
const ENVIRONMENT = { LC_ALL: 'C', PATH: '/usr/bin:/bin', SOURCE_DATE_EPOCH: '1', GIT_CONFIG_GLOBAL: '/dev/null' }

/** A command, and the files that it finds in its folder. */
interface Row {
  readonly name: string
  /** The first is the program. */
  readonly argv: readonly string[]
  readonly files?: Readonly<Record<string, string>>
  readonly input?: string
}

const MAKEFILE = `check: sum
\t./sum 19 23
sum: sum.c
\t$(CC) -O2 -o sum sum.c
`
const SUM = `#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) { return argc != 3 || printf("%d\\n", atoi(argv[1]) + atoi(argv[2])) < 0; }
`
const HASH =
  'import hashlib,sys;h=hashlib.sha256()\nfor i in range(200):h.update(bytes([i])*5000)\nprint(h.hexdigest())'
const FAILURE = 'import sys; print("out"); sys.exit("a test has failed")'
const POOL = 'import multiprocessing as m\nwith m.Pool(4) as p: print(p.map(hash, range(9999)))'
const SUMS = { 'a.c': SUM, 'b.c': SUM, 'c.c': SUM, 'd.c': SUM }
const script = (text: string): Row['argv'] => ['/bin/sh', '-c', text]

const ROWS: readonly Row[] = [
  { name: 'true', argv: ['/bin/true'] },
  { name: 'false', argv: ['/bin/false'] },
  { name: 'python3', argv: ['/usr/bin/python3', '-c', HASH] },
  { name: 'python3 that fails', argv: ['/usr/bin/python3', '-c', FAILURE] },
  { name: 'python3 in processes', argv: ['/usr/bin/python3', '-c', POOL] },
  { name: 'python3 -m unittest', argv: ['/usr/bin/python3', 't.py'], files: { 't.py': unittest() } },
  { name: 'perl', argv: ['/usr/bin/perl', '-e', 'print join(",", map { $_ ** 3 } 1..20), "\\n"; exit 7'] },
  { name: 'gcc', argv: ['/usr/bin/gcc', '-O2', '-o', 'sum', 'sum.c'], files: { 'sum.c': SUM } },
  { name: 'make check', argv: ['/usr/bin/make', 'check'], files: { Makefile: MAKEFILE, 'sum.c': SUM } },
  { name: 'make -j4', argv: ['/usr/bin/make', '-j4', 'a', 'b', 'c', 'd'], files: SUMS },
  { name: 'node', argv: ['/usr/bin/node', '-e', 'console.log([3,1,2].sort(), process.platform); process.exit(3)'] },
  {
    name: 'sqlite3',
    argv: ['/usr/bin/sqlite3', 'db'],
    input: 'create table t(a);insert into t values(1),(2);select sum(a),count(*) from t;\n',
  },
  {
    name: 'git',
    argv: script(
      'git init -q . && git add a && git -c user.name=a -c user.email=a@b commit -qm one --date=@1 && git log --format=%s && git status -s; git cat-file -p HEAD^{tree}',
    ),
    files: { a: 'text\n' },
  },
  { name: 'awk', argv: ['/usr/bin/awk', '{ n += $1 } END { print n }'], input: '1\n2\n3\n' },
  {
    name: 'sort',
    argv: ['/usr/bin/sort', '-n'],
    input: Array.from({ length: 5000 }, (_, i) => `${(i * 7919) % 5003}\n`).join(''),
  },
  { name: 'tar', argv: script('tar cf t.tar a b && tar tf t.tar && rm t.tar'), files: { a: 'a', b: 'b' } },
  { name: 'gzip', argv: script('gzip -9n a && gzip -dc a.gz'), files: { a: 'text\n'.repeat(9000) } },
  { name: 'both outputs', argv: script('echo out; echo error >&2; exit 4') },
  { name: 'a crash', argv: ['/usr/bin/perl', '-e', '$| = 1; print "on\\n"; kill "SEGV", $$; sleep 9'] },
  { name: 'a signal of its own', argv: script('kill -TERM $$') },
  { name: 'is not there', argv: ['/usr/bin/no-such-program'] },
  { name: 'may not be executed', argv: ['/etc/ld.so.conf'] },
  { name: 'a pipe that closes', argv: script('yes | head -n 3') },
  { name: 'environment', argv: script('echo "$LC_ALL $SOURCE_DATE_EPOCH"; pwd') },
  { name: 'openssl', argv: ['/usr/bin/openssl', 'dgst', '-sha256', 'a'], files: { a: 'x'.repeat(100_000) } },
]

function unittest(): string {
  return 'import unittest\nclass T(unittest.TestCase):\n def test_a(self): self.assertEqual(1, 1)\n def test_b(self): self.assertEqual(1, 2)\nimport sys\nr=unittest.TextTestRunner(stream=open("log","w")).run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\nprint(r.testsRun,len(r.failures))\nsys.exit(not r.wasSuccessful())\n'
}

let folder = ''
/** A Debian for Arm; undefined: there is no apt to fetch it. */
let armRoot: string | undefined
const ARM_PACKAGES = 'python3-minimal libpython3-stdlib perl gcc libc6-dev make nodejs sqlite3 git openssl'.split(' ')

/** A folder with the files of a row, at the same path each time. */
function prepare({ files = {} }: Row): void {
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder)
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(join(folder, name), text)
}

/** The names of all files, and the contents of those that are no program's private matter. */
function written(hasSamePrograms: boolean): string {
  const names = (fs.readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => !name.startsWith('.git/'))
    .toSorted()
  const text = (name: string): string => {
    const path = join(folder, name)
    if (!fs.statSync(path).isFile()) return 'folder'
    const bytes = fs.readFileSync(path)
    // A report has durations, and a program of one architecture is other bytes than that of another.
    return name === 'log' || (!hasSamePrograms && name === 'sum') ? 'a file' : bytes.toString('latin1')
  }
  return JSON.stringify(names.map((name) => [name, text(name)]))
}

/** The host's own way to run it: a shell's exit codes. */
function onHost({ argv, input = '' }: Row): Finished {
  const [program = '', ...args] = argv
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    cwd: folder,
    env: ENVIRONMENT,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const SIGNALS: Readonly<Record<string, number>> = { SIGSEGV: 139, SIGTERM: 143 }
  const missing = (error as NodeJS.ErrnoException | undefined)?.code
  const code = missing === 'ENOENT' ? 127 : missing === 'EACCES' ? 126 : (status ?? SIGNALS[signal ?? ''] ?? -1)
  return { code, stdout: stdout ?? '', stderr: stderr ?? '' }
}

async function compare(row: Row, isHost: boolean, more: readonly string[]): Promise<string | undefined> {
  prepare(row)
  const host = onHost(row)
  const files = written(isHost)
  prepare(row)
  const env = Object.entries(ENVIRONMENT).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  const command = ['exec', ...more, ...env, '--share', `${folder}:rw`, '--workdir', folder, '--', ...row.argv]
  const guest = await runProgram(process.execPath, [...SOURCE_START, ...command], {
    input: row.input ?? '',
    deadlineMs: DEADLINE_MS,
  })
  // Lines of retrap's own say why a program could not be started.
  const isOurs = host.code === 126 || host.code === 127
  const seen = (end: Finished): string =>
    JSON.stringify([end.code, end.stdout, isOurs ? '' : end.stderr.replaceAll(/^retrap: .*\n/gm, '')])
  if (seen(guest) !== seen(host)) return `${row.name}: on the host\n  ${seen(host)}\nin the guest\n  ${seen(guest)}`
  const after = written(isHost)
  if (after !== files) return `${row.name}: files on the host\n  ${files}\nin the guest\n  ${after}`
  return undefined
}

const here = ROWS.filter(({ argv: [program = ''] }) => program.includes('no-such') || fs.existsSync(program))

export const soak: Soak = {
  name: 'exec',
  count: 2 * here.length,
  async setup() {
    folder = fs.mkdtempSync(join(tmpdir(), 'retrap-exec-'))
    const root = fs.mkdtempSync(join(tmpdir(), 'retrap-exec-arm-'))
    if (!(await makeDebianRoot(root, ARM_PACKAGES, 'arm64'))) return fs.rmSync(root, { recursive: true })
    armRoot = root
    // The packages' scripts would have chosen these.
    fs.symlinkSync('gcc', join(root, 'usr/bin/cc'))
    fs.symlinkSync('mawk', join(root, 'usr/bin/awk'))
  },
  async step(rng, index) {
    const row = here[index % here.length]!
    const isArm = Math.floor(index / here.length) % 2 === 1
    const more = isArm ? ['--arch', 'arm64', '--root', armRoot!] : ['--cpus', `${rng.between(1, 4)}`]
    rng.note('program', `${row.name}, ${more.join(' ')}`)
    if (isArm && armRoot === undefined) return undefined
    return compare(row, !isArm, more)
  },
  teardown() {
    for (const path of [folder, armRoot]) if (path !== undefined) fs.rmSync(path, { recursive: true, force: true })
  },
}
