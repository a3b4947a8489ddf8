import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { EXEC_DEADLINE_MS as DEADLINE_MS, retrapExec as exec, runToEnd as run } from '../support/exec.ts'

const isHere = hasProc && process.arch === 'x64'
const test = sliceTests(5).skipIf(!isHere)
const note = skipNote(isHere, 'it runs programs of an x86-64 Linux host')

test.each<{ readonly program: readonly [string, ...string[]]; readonly input?: string }>([
  // busybox, which starts it, has another one.
  { program: ['head', '--version'] },
  { program: ['cat', '/none'] },
  { program: ['cat'], input: 'some\0thing\n'.repeat(20_000) },
  { program: ['sh', '-c', 'echo out; echo err >&2; exit 7'] },
  { program: ['sh', '-c', 'kill -KILL $$'] },
  { program: ['sh', '-c', 'read a; echo "<$a>"; read b; echo "<$b> $?"'], input: 'one\n' },
  { program: ['sh', '-c', 'trap "echo told; exit 3" INT; kill -INT $$'] },
  { program: ['env', '-i', 'A=b c', 'sh', '-c', 'echo "$A"; ls /usr/bin/env'] },
  { program: ['sh', '-c', 'sleep 1000 & echo left'] },
])(`$program is as on the host${note}`, { timeout: DEADLINE_MS }, ({ program: [file, ...args], input = '' }) => {
  const there = exec(['--', file, ...args], input)
  // On the host nobody ends what is left behind.
  const host = args.join(' ').includes('sleep 1000')
    ? { code: 0, stdout: 'left\n', stderr: '' }
    : run('sh', ['-c', '"$@"; exit $?', 'sh', file, ...args], input)
  expect(there).toEqual({ ...host, stderr: there.code === 137 ? '' : host.stderr })
})

test(`a folder is shared, by its own path and as asked${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-exec-'))
  try {
    const script = `cd ${folder} && pwd >/dev/stdout && echo from the guest >file && date +%s >time`
    expect(exec(['--share', folder, '--', 'sh', '-c', script]).code).not.toBe(0)
    expect(exec(['--share', `${folder}:rw`, '--', 'sh', '-c', script])).toEqual({
      code: 0,
      stdout: `${folder}\n`,
      stderr: '',
    })
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('from the guest\n')
    expect(Math.abs(Number(readFileSync(join(folder, 'time'), 'utf8')) - Date.now() / 1000)).toBeLessThan(60)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test.each([
  { args: ['--timeout', '3', '--', 'sleep', '1000'], code: 124, said: /^retrap: sleep did not end in 3 s/ },
  {
    args: ['--', 'sh', '-c', 'echo o >/proc/sysrq-trigger; sleep 1000'],
    code: 125,
    said: /^retrap: the guest has ended/,
  },
  { args: ['--', 'sh', '-c', 'echo c >/proc/sysrq-trigger'], code: 125, said: /^retrap: the guest has ended/ },
  { args: ['--', 'no-such-program'], code: 127, said: /^retrap: no-such-program: there is no such program/ },
  { args: ['--workdir', '/none', '--', 'true'], code: 125, said: /^retrap: \/none: there is no such folder/ },
])(`$args ends with $code, and a line says why${note}`, { timeout: DEADLINE_MS }, ({ args, code, said }) => {
  const ended = exec(args)
  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toMatch(said)
  expect(ended.stderr.trim().split('\n')).toHaveLength(1)
})

/** A static program of these bytes, which then ends. */
function program(code: string): Uint8Array {
  const file = Buffer.alloc(0x100)
  file.write('7f454c46020101', 'hex')
  file.writeUInt32LE(0x3e_0002, 16)
  file.writeUInt32LE(1, 20)
  file.writeUInt32LE(0x40_0078, 24)
  file.writeUInt32LE(64, 32)
  file.writeUInt32LE(0x38_0040, 52)
  file.writeUInt32LE(1, 56)
  file.writeUInt32LE(1, 64)
  file.writeUInt32LE(5, 68)
  for (const at of [80, 88]) file.writeUInt32LE(0x40_0000, at)
  for (const at of [96, 104]) file.writeUInt32LE(file.length, at)
  // MOV EAX, 60; XOR EDI, EDI; SYSCALL
  file.write(`${code}b83c00000031ff0f05`, 0x78, 'hex')
  return file
}

test(`an instruction that the CPU model lacks is named${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-exec-'))
  try {
    const [avx2, ud2] = [join(folder, 'avx2'), join(folder, 'ud2')]
    // VPADDD YMM0, YMM0, YMM1; UD2
    writeFileSync(avx2, program('c5fdfec1'), { mode: 0o755 })
    writeFileSync(ud2, program('0f0b'), { mode: 0o755 })
    const said = `retrap: ${avx2}: the instruction vpaddd (AVX2) is not there in the CPU model core2; --cpu max has it\n`
    expect(exec(['--', avx2])).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(exec(['--cpu', 'core2', '--', avx2])).toEqual({ code: 132, stdout: '', stderr: said })
    expect(exec(['--cpu', 'core2', '--', ud2])).toEqual({ code: 132, stdout: '', stderr: '' })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test(`variables are passed as they are, whatever a shell makes of their names${note}`, { timeout: DEADLINE_MS }, () => {
  const given = ['A.B=1 2', 'IFS=x', 'OPTIND=none', 'RANDOM=r', "QUOTE='", 'LINES=a\nb', 'PS1=$(false)']
  const { stdout } = exec([...given.flatMap((one) => ['--env', one]), '--', 'env', '-0'])
  expect(stdout.split('\0')).toEqual(expect.arrayContaining(given))
  const names = stdout.split('\0').map((one) => one.replace(/=.*$/s, ''))
  const usual = ['', 'HOME', 'HOSTNAME', 'PATH']
  expect(names.toSorted()).toEqual([...usual, ...given.map((one) => one.replace(/=.*$/s, ''))].toSorted())
})

test(`a program for Arm runs by --arch arm64${note}`, { timeout: DEADLINE_MS }, async () => {
  const [folder] = (await debianMembers([{ package: 'busybox-static:arm64', members: ['./bin/busybox'] }])) ?? []
  if (folder === undefined) return
  const busybox = join(folder, 'bin', 'busybox')
  const script = 'cat; uname -m; exit 9'
  expect(exec(['--arch', 'arm64', '--', busybox, 'sh', '-c', script], 'given\n')).toEqual({
    code: 9,
    stdout: 'given\naarch64\n',
    stderr: '',
  })
  const other = exec(['--', busybox, 'true'])
  expect([other.code, other.stderr]).toEqual([
    126,
    `retrap: ${busybox}: it is no program for this processor (--arch)\n`,
  ])
})
