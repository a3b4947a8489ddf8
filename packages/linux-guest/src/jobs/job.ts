/** The job of a guest: the script that tells it what to run. */
import { basename, dirname, resolve } from 'node:path/posix'
import { device, EXEC_TIME, EXEC_PORTS, foldersTag, MOVE_ROOT } from '../linux/exec-initramfs.ts'

/** A folder of the host, or one in the guest's memory, at a path of the program. */
export interface JobMount {
  readonly path: string
  /** The same path with links resolved, if the program has the folder at the host's path. */
  readonly realPath?: string
  /** The folder's name in the share for folders, or a name for a folder in memory. */
  readonly name: string
  /** Whether a share is only read; default true. */
  readonly readOnly?: boolean
  /** `copy`: writes stay in the guest's memory. `file`: the share has a file in place of a folder, and it is copied. */
  readonly how?: 'copy' | 'file' | undefined
  /** Options of mount(8) for a file system in memory; absent: the mount is a share. */
  readonly options?: string
}

/** A folder of the host that the user shares. */
export interface SharedFolder {
  /** Whole. */
  readonly path: string
  /** The folder's path in the guest. */
  readonly at: string
  readonly readOnly: boolean
}

/** A folder that a user owns. */
export interface JobFolder {
  readonly path: string
  readonly uid: number
  readonly gid: number
}

/** A program to run in a guest. */
export interface JobProgram {
  /** The program's path in the root, and its arguments. */
  readonly program: readonly string[]
  /** The environment, as `NAME=VALUE`. */
  readonly env: readonly string[]
  readonly uid: number
  readonly gid: number
  /** The folder that the program starts in, without links. */
  readonly workingDirectory: string
}

/** A program, and the guest that it is to find. */
export interface Job extends JobProgram {
  readonly mounts: readonly JobMount[]
  /** The user's home folder, if the root lacks it. */
  readonly home: JobFolder | undefined
  /** The name of the guest. */
  readonly hostname: string
  /** Files that the root lacks, by their paths. */
  readonly files: Readonly<Record<string, string>>
  /** The program's input and outputs are a terminal of this size. */
  readonly terminal: TerminalSize | undefined
  /** Commands to run first, for example to configure a network. */
  readonly preparation: readonly string[]
  /** Random bytes for the guest's kernel; undefined: the guest has some, and the host's time, already. */
  readonly entropy: Uint8Array | undefined
}

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A variable that a shell passes on unchanged, unlike those with a meaning for the shell itself. */
const IS_PLAIN = /^(?!(?:FUNCNAME|IFS|LINENO|OPTIND|RANDOM)=)[A-Za-z_]\w*=/

/** A word of a shell that stands for this text. */
export const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** Enters a folder of the root, and fails if a link leads out: an absolute link would leave the root. */
const ENTER = 'enter() { mkdir -p "$1" && cd -P "$1" && [ "$PWD" = "$1" ]; }'

/** Enters a root of its own. */
const ENTER_ROOT = `cd /new && ${MOVE_ROOT}; unset OLDPWD PWD`
/** Enters the root that a waiting guest has. */
const ENTER_OWN_ROOT = 'cd /proc/self/fd/3; unset OLDPWD PWD'

/**
 * The commands that mount a folder at its path, or at its real path on the host. A failed mount ends the job, because the program's
 * writes to the folder would be lost.
 */
function mountCommand({ path, realPath = path, name, readOnly = true, how, options }: JobMount): string {
  const at = (one: string): string => (how === 'file' ? dirname(one) : one)
  // `enter` compares with $PWD, which has no "/" at its end.
  const entered = [...new Set([path, realPath])].map((one) => `enter ${quote(resolve(`/new${at(one)}`))}`).join(' || ')
  const source = `/${foldersTag(readOnly)}/${name}`
  const commands = {
    share: `mount --bind ${source} .`,
    memory: `mount -t tmpfs -o ${options} ${name} .`,
    file: `rm -f ${quote(basename(path))} && cp -p ${source} ${quote(basename(path))}`,
    copy: `mkdir -p /top/${name}/upper /top/${name}/work && ${likeness(source, `/top/${name}/upper`)} && mount -t overlay -o lowerdir=${source},upperdir=/top/${name}/upper,workdir=/top/${name}/work ${name} .`,
  }
  const command = commands[how ?? (options === undefined ? 'share' : 'memory')]
  return `({ ${entered} || ! echo end link${name} >&7; } 2>/dev/null && ${command}) || { echo end mount${name} >&7; exit; }`
}

/** The command that gives a folder the owner and the rights of another one. Both are words of a shell. */
export const likeness = (of: string, folder: string): string =>
  `chown $(stat -c %u:%g ${of}) ${folder} && chmod $(stat -c %a ${of}) ${folder}`

/** The commands that write files which the root lacks. */
export const encodeFiles = (files: Readonly<Record<string, string>>): string =>
  Object.entries(files)
    .map(([path, text]) => `echo -n ${quote(text)} >${quote(`/top/upper${path}`)}\n`)
    .join('')

/** The commands that give a guest's kernel random numbers. */
export const stir = (entropy: Uint8Array): readonly string[] => [
  `echo ${Buffer.from(entropy).toString('base64')} >/dev/random`,
  // On its own the kernel uses new entropy only at its next reseeding, up to a minute later.
  'reseed </dev/random',
]

/** The commands that give a waiting guest its folders, its name and its random numbers. */
function prepare(job: Omit<Job, keyof JobProgram | 'terminal'>): readonly string[] {
  const { mounts, home } = job
  return [
    ...(job.entropy === undefined ? [] : stir(job.entropy)),
    `echo ${quote(job.hostname)} >/proc/sys/kernel/hostname`,
    ...job.preparation,
    ENTER,
    // A share inside another one is mounted after the outer one.
    ...mounts.toSorted((a, b) => a.path.length - b.path.length).map(mountCommand),
    ...(home === undefined ? [] : [`(enter ${quote(`/new${home.path}`)} && chown ${home.uid}:${home.gid} .)`]),
    encodeFiles(job.files),
  ]
}

/** The commands that become a program, in a shell whose folder is the program's root. */
export function become({ program, env, uid, gid, workingDirectory }: JobProgram, inputs: string): readonly string[] {
  const others = env.filter((one) => !IS_PLAIN.test(one))
  return [
    ...env.filter((one) => IS_PLAIN.test(one)).map((one) => `export ${quote(one)}`),
    `exec ${others.length === 0 ? '' : `/bin/env ${others.map(quote).join(' ')} `}/bin/nsenter -r. ${quote(
      `-w.${workingDirectory}`,
    )} -S ${uid} -G ${gid} ${program.map(quote).join(' ')} ${inputs} 3>&- 7>&- 9>&-`,
  ]
}

/** The commands that prepare a job in a guest which waits for one, and ask for the time, or start it. */
export function encodeJob(job: Job): string {
  const { workingDirectory, terminal } = job
  const directory = quote(`/new${workingDirectory}`)
  const lines = [
    ...prepare(job),
    ...(terminal === undefined
      ? []
      : [
          '>/terminal',
          // A terminal forgets its size when no process has it open.
          'exec <>/dev/hvc0',
          `stty sane rows ${terminal.rows} cols ${terminal.columns}`,
        ]),
    `[ -d ${directory} ] || { echo end directory >&7; exit; }`,
    `start() { ${[ENTER_OWN_ROOT, ...become(job, terminal === undefined ? '<&9 >/out 2>/err' : '>&0 2>&0')].join('\n')}; }`,
    job.entropy === undefined ? 'start' : `echo ${EXEC_TIME} >&7`,
  ]
  return `${lines.join('\n')}\n`
}

/** The commands that prepare a guest for programs that are started one by one. */
export const encodeRoom = (job: Omit<Job, keyof JobProgram | 'terminal'>): string =>
  `${[...prepare(job), ENTER_ROOT].join('\n')}\n`

/**
 * The commands that prepare a guest, and become a program in its root. The ports for standard input and output are the program's own then:
 * the processes that have copied between them and pipes are ended.
 *
 * @param agent - a static program, in base64
 */
export function encodeAgent(job: Omit<Job, keyof JobProgram | 'terminal'>, agent: string): string {
  const [input, output] = [device('stdin'), device('stdout')]
  const ports = `vport0p[${EXEC_PORTS.stdin}${EXEC_PORTS.stdout}]`
  const holders = `ls -l /proc/[0-9]*/fd/[01] 2>/dev/null | sed -n 's#.*/proc/\\([0-9]*\\)/fd/. -> /dev/${ports}$#\\1#p'`
  const lines = [
    ...prepare(job),
    ENTER_OWN_ROOT,
    `base64 -d >/agent <<'END'\n${agent}\nEND`,
    'chmod 755 /agent',
    `kill $(${holders})`,
    // The kernel closes a port when its last process has gone.
    `until (exec <${input} >${output}) 2>/dev/null; do sleep 0.01; done`,
    `exec /agent <${input} >${output} 3>&- 7>&- 9>&-`,
  ]
  return `${lines.join('\n')}\n`
}

/** The commands that bring up the card of a guest, which has fixed addresses in its network. */
export const NETWORK_COMMANDS: readonly string[] = [
  'ip link set eth0 up',
  'ip addr add 10.0.2.15/24 dev eth0',
  'ip route add default via 10.0.2.2',
]

/**
 * The commands that start a program in a prepared guest, and tell its end by this name.
 *
 * @param first, last - come before and after; the first ones are in its process
 */
export const encodeProgram = (name: string, program: JobProgram, first = ':', last = ''): string =>
  `( ( ${[first, ...become(program, '</dev/null >/out 2>/err')].join('\n')} ); echo ${quote(`ended ${name}`)} $? >&7${last} ) &\n`

/** The commands that start a program, tell its outputs in lines of base64, and its end once nothing has them open. */
export const encodeHeard = (name: string, program: JobProgram, first: string): string =>
  [
    '( mkfifo /heard.1 /heard.2',
    // Each read of a pipe is a line: base64 alone would hold short output until the end of its input.
    `said() { dd bs=1k count=1 2>/dev/null | base64 | tr -d '\\n'; }`,
    ...[1, 2].map((n) => `while s=$(said); [ -n "$s" ]; do echo status said ${n} $s; done </heard.${n} >&7 &`),
    `( ${[first, ...become(program, '</dev/null >/heard.1 2>/heard.2')].join('\n')} ); code=$?`,
    `wait; echo ${quote(`ended ${name}`)} $code >&7 ) &\n`,
  ].join('\n')

/**
 * The commands that set the guest's time, once the host is asked for it, and become the program. The guest's clock is never behind the
 * host's: for `make` a file of a share would have been written in the future.
 */
export const encodeStart = (epochSeconds: number): string => `${setClock(epochSeconds)}; start\n`

/** The command that sets the guest's time. */
export const setClock = (epochSeconds: number): string => `date -s @${Math.ceil(epochSeconds)} >/dev/null`

/** Signals for the program's whole session, as a terminal sends them. */
const OF_GROUP: ReadonlySet<string> = new Set(['SIGINT', 'SIGHUP', 'SIGQUIT'])

/** The commands that send a signal to the program. */
export const encodeSignal = (signal: string): string =>
  `read pid </pid && kill -${signal.replace('SIG', '')} ${OF_GROUP.has(signal) ? '-' : ''}$pid\n`

/** The commands that set the size of the terminal. */
export const encodeSize = ({ columns, rows }: TerminalSize): string =>
  `stty -F /dev/hvc0 rows ${rows} cols ${columns}\n`
