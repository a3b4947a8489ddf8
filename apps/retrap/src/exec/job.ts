/** How a guest is told what to run. */

/** A folder of the host that a program sees at its own path. */
export interface JobShare {
  readonly path: string
  /** The tag of its device. */
  readonly tag: string
  readonly readOnly: boolean
}

/** A program that is run in a guest. */
export interface Job {
  /** The program's path in the root, and its arguments. */
  readonly program: readonly string[]
  /** The environment, as `NAME=VALUE`. */
  readonly env: readonly string[]
  readonly uid: number
  readonly gid: number
  /** The folder that it starts in, without links. */
  readonly workingDirectory: string
  readonly shares: readonly JobShare[]
  /** Files that the root lacks, by their paths. */
  readonly files: Readonly<Record<string, string>>
  /** The program's input and outputs are a terminal of this size. */
  readonly terminal: TerminalSize | undefined
  /** Commands that come before all else, such as those for a network. */
  readonly preparation: readonly string[]
  /** The guest's time. */
  readonly epochSeconds: number
  /** Random bytes for the guest's kernel. */
  readonly entropy: Uint8Array
}

/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

const MOUNT_9P = 'trans=virtio,version=9p2000.L,msize=262144'
/** Rounds in which a guest looks for what a program has left behind. */
const MOST_ROUNDS = 50

/** A word of a shell that stands for this text. */
export const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** A path as the lines of a table of mounts have it. */
const tablePath = (path: string): string =>
  // oxlint-disable-next-line typescript/no-non-null-assertion -- of one character
  path.replaceAll(/[\s\\#]/g, (character) => `\\${character.codePointAt(0)!.toString(8).padStart(3, '0')}`)

/** The commands that run a job in a guest which waits for one. The last writes `end CODE` to the port for status. */
export function encodeJob(job: Job): string {
  const { program, env, uid, gid, workingDirectory, shares, terminal } = job
  const table = [
    `overlay /new overlay lowerdir=/lower,upperdir=/top/upper,workdir=/top/work 0 0`,
    'proc /new/proc proc defaults 0 0',
    '/sys /new/sys none bind 0 0',
    '/dev /new/dev none rbind 0 0',
  ]
  const mounts = shares.map(
    ({ path, tag, readOnly }) =>
      `${tag} ${tablePath(`/new${path}`)} 9p ${MOUNT_9P},cache=${readOnly ? 'loose' : 'none'},${readOnly ? 'ro' : 'rw'} 0 0`,
  )
  const inputs = terminal === undefined ? '<&9 >/out 2>/err' : '<>/dev/hvc0 >&0 2>&0'
  const lines = [
    `date -s @${Math.ceil(job.epochSeconds)} >/dev/null`,
    `echo ${Buffer.from(job.entropy).toString('base64')} >/dev/random`,
    ...job.preparation,
    `echo ${quote([`root /lower 9p ${MOUNT_9P},cache=loose,ro 0 0`, ...table].join('\n'))} >/etc/fstab`,
    'mount -a',
    ...(shares.length === 0
      ? []
      : [
          `mkdir -p ${shares.map(({ path }) => quote(`/new${path}`)).join(' ')}`,
          `echo ${quote(mounts.join('\n'))} >/etc/fstab`,
          'mount -a',
        ]),
    ...Object.entries(job.files).map(([path, text]) => `echo -n ${quote(text)} >${quote(`/top/upper${path}`)}`),
    ...(terminal === undefined ? [] : [`stty -F /dev/hvc0 sane rows ${terminal.rows} cols ${terminal.columns}`]),
    `if [ -d ${quote(`/new${workingDirectory}`)} ]; then`,
    '(',
    'read pid rest </proc/self/stat',
    'echo $pid >/pid',
    'echo 0 >/proc/self/oom_score_adj',
    // The environment of a shell has names of a shell.
    `exec setsid ${terminal === undefined ? '' : '-c '}env -i ${env.map(quote).join(' ')} /bin/nsenter -r/new ${quote(
      `-w/new${workingDirectory}`,
    )} -S ${uid} -G ${gid} ${program.map(quote).join(' ')} ${inputs} 5>&- 6>&- 7>&- 9>&-`,
    ')',
    'code=$?',
    'else code=directory; fi',
    'exec 5>&- 6>&-',
    // Nothing that the program has left behind holds its outputs, or changes files.
    'round=0 found=1',
    `while [ $found = 1 ] && [ $round -lt ${MOST_ROUNDS} ]; do`,
    'found=0 round=$((round + 1))',
    'for process in /proc/[0-9]*; do [ $process/root -ef /new ] && found=1 && kill -9 ${process#/proc/}; done',
    'done',
    ...(terminal === undefined ? ['wait $out $err'] : []),
    'echo "end $code" >&7',
  ]
  return `${lines.join('\n')}\n`
}

/** Signals that go to the program and all that it has started in its session, as those of a terminal do. */
const OF_GROUP: ReadonlySet<string> = new Set(['SIGINT', 'SIGHUP', 'SIGQUIT'])

/** The commands that send a signal to the program. */
export const encodeSignal = (signal: string): string =>
  `read pid </pid && kill -${signal.replace('SIG', '')} ${OF_GROUP.has(signal) ? '-' : ''}$pid\n`

/** The commands that set the size of the terminal. */
export const encodeSize = ({ columns, rows }: TerminalSize): string =>
  `stty -F /dev/hvc0 rows ${rows} cols ${columns}\n`
