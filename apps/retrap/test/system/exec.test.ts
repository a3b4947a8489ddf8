import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { openBundle, replayPc } from '@retrap/machine'
import { replayArmMachine, VIRT } from '@retrap/machine/arm'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { SLICE, sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { EXEC_DEADLINE_MS as DEADLINE_MS, type Ended, retrapExec as exec, runToEnd as run } from '../support/exec.ts'
import { SOURCE_START } from '../support/processes.ts'

const isHere = hasProc && process.arch === 'x64' && hasProgram('apt-get')
const test = sliceTests(16).skipIf(!isHere)
const note = skipNote(isHere, 'it runs programs of an x86-64 Linux host with apt')
const LONG = { timeout: 2 * DEADLINE_MS }

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

test(`the kernel finds its modules by itself${note}`, { timeout: DEADLINE_MS }, () => {
  const script =
    ': </dev/loop-control && grep -o "^loop " /proc/modules && ls /lib/modules/$(uname -r)/modules.dep.bin && PATH=$PATH:/usr/sbin modprobe dummy'
  expect(exec(['--', 'sh', '-c', script])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^loop \n\/lib\/modules/),
  })
  expect(exec(['--module', '/etc/passwd', '--', 'true']).stderr).toMatch(
    /--module \/etc\/passwd: it is no kernel module/,
  )
})

test(`a folder is shared, by its own path and as asked${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = temporaryFolder('exec')
  const script = `cd ${folder} && pwd >/dev/stdout && echo from the guest >file && date +%s >time`
  expect(exec(['--share', folder, '--', 'sh', '-c', script]).code).not.toBe(0)
  expect(exec(['--share', `${folder}:rw`, '--', 'sh', '-c', script])).toEqual({
    code: 0,
    stdout: `${folder}\n`,
    stderr: '',
  })
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('from the guest\n')
  expect(Math.abs(Number(readFileSync(join(folder, 'time'), 'utf8')) - Date.now() / 1000)).toBeLessThan(60)
})

test(`shares have any characters in their paths${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = temporaryFolder('exec')
  const marks = [' ', '#', ',', ':', '"', "'", '\\', '\n', '\t', '=', '$(x)', '*', 'é漢', '\u2028', '...']
  const paths = marks.flatMap((mark) => [mark, `a${mark}b`, `-${mark}`].map((name) => join(folder, name)))
  for (const path of paths) mkdirSync(path)
  const drawn = paths.filter((_, i) => i % 3 === SLICE % 3)
  const script = 'for one; do echo of the guest >"$one/file" || exit; done'
  const shares = drawn.flatMap((path) => ['--share', `${path}:rw`])
  expect(exec([...shares, '--', 'sh', '-c', script, 'sh', ...drawn])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(drawn.filter((path) => readFileSync(join(path, 'file'), 'utf8') !== 'of the guest\n')).toEqual([])
})

test(`a line of docker has its meaning, and the program the host's world${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = temporaryFolder('exec')
  mkdirSync(join(folder, 'inner'))
  writeFileSync(join(folder, 'env'), 'A=file\nB=file\n')
  const script = `echo $A $B; pwd; echo out >inner/file; date +%Z; head -1 /etc/passwd; hostname
      for one in /var /mnt /home /opt /usr/share /scratch; do mkdir $one/new || exit 9; done; rm /usr/bin/id
      perl -e 'rename "/usr/lib/locale", "/usr/lib/moved" or exit 1' || exit 8
      stat -c '%a %U' /scratch $HOME; [ ! -e /etc/shadow ]`
  const place = ['-w', '/work', '-v', `${folder}:/work`]
  const words = ['--rm', '-i', '--root-rw', '--env-file', join(folder, 'env'), '-e', 'B=own', ...place]
  expect(exec([...words, '--tmpfs', '/scratch:mode=700', '--entrypoint', 'sh', '--', '-c', script])).toEqual({
    code: 0,
    stdout: `file own\n/work\n${run('sh', ['-c', 'date +%Z; head -1 /etc/passwd; hostname']).stdout}700 root\n700 root\n`,
    stderr: '',
  })
  expect(readFileSync(join(folder, 'inner/file'), 'utf8')).toBe('out\n')
})

test.each([
  ['--platform linux/arm64', '--platform: write --arch arm64 or --arch x86-64'],
  [
    '--device edu --record-on-failure f',
    '--record-on-failure: a recording has no devices of --device; leave one of them out',
  ],
  ['--device virtio-rng-pci', '--device virtio-rng-pci: not in a guest of exec; retrap linux has it'],
])(`%s is refused, and the sentence names ours${note}`, (options, sentence) => {
  const { code, stderr } = exec([...options.split(' '), '--', 'true'])
  expect([code, stderr]).toEqual([125, `retrap: ${sentence}\n`])
})

test(`a program has user namespaces, and the root that mounts are seen from${note}`, { timeout: DEADLINE_MS }, () => {
  const script =
    'unshare -U id -u; unshare -Ur id -u; unshare -Urm sh -c "mount -t tmpfs a /tmp && umount /tmp && echo on"'
  const { code, stdout } = exec(['--user', '7:8', '--', 'sh', '-c', `${script}; cat /proc/self/mountinfo`])
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^65534\n0\non\n\d+ 1 0:\d+ \/ \/ .* - overlay /) as string])
})

test(`a root cannot lead a share elsewhere${note}`, { timeout: DEADLINE_MS }, () => {
  const folder = temporaryFolder('exec')
  const [root, shared, real] = ['root', 'shared', 'real/inner'].map((name) => join(folder, name)) as [
    string,
    ...string[],
  ]
  for (const path of [root, shared, real, join(root, folder), join(root, 'etc')]) mkdirSync(path!, { recursive: true })
  // XOR EDI, EDI; MOV EAX, 60; SYSCALL
  writeFileSync(join(root, 'tool'), program('31ffb83c0000000f05'), { mode: 0o755 })
  const at = join(root, shared!)
  const end = () => exec(['--root', root, '--share', `${shared}:rw`, '--', '/tool'])
  const refused = {
    code: 125,
    stdout: '',
    stderr: expect.stringMatching(`^retrap: --share ${shared}: a link or a file`) as string,
  }
  for (const [target, ended] of [
    ['/etc', refused],
    ['../../etc', refused],
    ['/none', refused],
    [undefined, { code: 0, stdout: '', stderr: '' }],
  ] as const) {
    rmSync(at, { force: true, recursive: true })
    if (target !== undefined) symlinkSync(target, at)
    expect(end()).toEqual(ended)
  }
  // A link of the host leads to the same place there.
  symlinkSync('real', join(folder, 'link'))
  symlinkSync(join(folder, 'real'), join(root, folder, 'link'))
  expect(exec(['--root', root, '--share', join(folder, 'link/inner'), '--', '/tool'])).toMatchObject({ code: 0 })
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

/** A busybox for Arm, whose shell has all that is asked of the host's; undefined: there is nothing to fetch it with. */
async function armBusybox(): Promise<string | undefined> {
  const [folder] = (await debianMembers([{ package: 'busybox-static:arm64', members: ['./bin/busybox'] }])) ?? []
  return folder && join(folder, 'bin', 'busybox')
}

test.each([
  { arch: 'x86-64', program: async () => 'sh' },
  { arch: 'arm64', program: armBusybox },
])(`a run of $arch that fails is recorded, and replayed without its folder${note}`, LONG, async ({ arch, program }) => {
  const shell = await program()
  if (shell === undefined) return
  const [folder, shared] = [temporaryFolder('exec'), temporaryFolder('exec')]
  writeFileSync(join(shared, 'file'), 'of the host\n'.repeat(20_000))
  const file = join(folder, 'run.rec')
  const how = ['--arch', arch, '--share', shared, '--cpus', '2', '--record-on-failure', file]
  const words = [...how, '--', shell, ...(shell === 'sh' ? [] : ['sh']), '-c']
  const recorded = (script: string): Ended => exec([...words, script], 'typed\n'.repeat(10_000))
  expect(recorded('exit 0')).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(readdirSync(folder)).toEqual([])
  const ended = recorded(
    `cat ${shared}/file; read a; echo $a $(nproc); wc -l; head -c 8 /dev/urandom | od; echo told >&2; cat /proc/uptime; kill -SEGV $$`,
  )
  const line = `retrap: the run is recorded in ${file}: retrap replay ${file}, or retrap web --recording ${file}\n`
  expect(ended).toMatchObject({ code: 139, stderr: `told\n${line}` })
  expect(ended.stdout).toMatch(/^(of the host\n){20000}typed 2\n9999\n0000000 [^]*\n$/)
  expect(readdirSync(folder)).toEqual(['run.rec'])
  rmSync(shared, { recursive: true })
  const replayed = run(process.execPath, [...SOURCE_START, 'replay', file], '')
  expect(replayed).toMatchObject({ code: 0, stdout: ended.stdout })
  expect(replayed.stderr).toMatch(/^told\nretrap: the recording ends at instruction \d+\n$/m)
  await sameAtEnd(file)
})

/** The end of a replay is the same from the beginning and from the recording's last checkpoint. */
async function sameAtEnd(path: string): Promise<void> {
  const bytes = readFileSync(path)
  const source = { bytes: bytes.length, read: (at: number, count: number) => bytes.subarray(at, at + count) }
  const { options, board } = await openBundle(source)
  const isArm = board === 'virt'
  const states: (readonly [number, ...unknown[]])[] = []
  for (const isNear of [false, true]) {
    const at = isNear ? states[0]![0] - 1 : undefined
    const replay = await (isArm ? replayArmMachine : replayPc)(options as never, source, { at })
    expect(await replay.run()).toEqual({ reason: 'end-of-recording' })
    const { vcpus, guestMemory } = replay.machine.domain
    const hash = createHash('sha256')
    const page = new Uint8Array(1 << 20)
    for (let at = 0; at < options!.memoryBytes; at += page.length) {
      // Not all of the first MiB of a PC is RAM.
      expect(guestMemory.read(isArm ? VIRT.ram.base + at : at, page)).toBe(isArm || at > 0)
      hash.update(page)
    }
    const saved = vcpus.map((one) => ('processor' in one ? one.processor.registers.save() : saveVcpuRegisters(one.cpu)))
    states.push([replay.instructions, saved, hash.digest('hex')])
    replay.close()
  }
  expect(states[0]).toEqual(states[1])
}

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
  const folder = temporaryFolder('exec')
  const [avx2, avx512, ud2] = [join(folder, 'avx2'), join(folder, 'avx512'), join(folder, 'ud2')]
  // VPADDD YMM0, YMM0, YMM1; VPADDD ZMM2, ZMM1, ZMM0; UD2
  writeFileSync(avx2, program('c5fdfec1'), { mode: 0o755 })
  writeFileSync(avx512, program('62f17548fed0'), { mode: 0o755 })
  writeFileSync(ud2, program('0f0b'), { mode: 0o755 })
  const said = `retrap: ${avx2}: the instruction vpaddd (AVX2) is not there in the CPU model core2; --cpu max has it\n`
  expect(exec(['--', avx2])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(exec(['--cpu', 'core2', '--', avx2])).toEqual({ code: 132, stdout: '', stderr: said })
  const none = `retrap: ${avx512}: the instruction vpaddd (AVX512F) is not there in the CPU model max; --cpu everything has it\n`
  expect(exec(['--', avx512])).toEqual({ code: 132, stdout: '', stderr: none })
  expect(exec(['--cpu', 'core2', '--', ud2])).toEqual({ code: 132, stdout: '', stderr: '' })
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
  const busybox = await armBusybox()
  if (busybox === undefined) return
  // The first number that is drawn after a machine was kept.
  const draw = ['--arch', 'arm64', '--', busybox, 'cat', '/proc/sys/kernel/random/uuid']
  expect(exec(draw).stdout).not.toBe(exec(draw).stdout)
  const other = exec(['--', busybox, 'true'])
  expect([other.code, other.stderr]).toEqual([
    126,
    `retrap: ${busybox}: it is no program for this processor (--arch)\n`,
  ])
})
