// The programs of the bench real: what each runs, and the packages of Debian that it comes from.
import { BOOT } from '../marked-guest.ts'

/** For each image, the packages that its initramfs has, with all that they depend on; all have busybox as well. */
export const IMAGES = {
  python: ['python3'],
  perl: ['perl'],
  node: ['nodejs'],
  gcc: ['gcc', 'libc6-dev'],
  // Every Debian has these.
  system: ['dpkg', 'dash', 'coreutils', 'diffutils', 'findutils', 'grep', 'libc-bin', 'sed', 'tar', 'xz-utils'],
  apt: ['apt', 'dash', 'coreutils'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type ImageName = keyof typeof IMAGES

/** A program of the bench. */
export interface Program {
  readonly name: string
  readonly image: ImageName
  /**
   * What is measured, for the shell of Debian's busybox; its output is compared. That shell has programs of its own, which
   * it prefers: files in /bench that use those of packages are for dash.
   */
  readonly command: string
  /** Shell text: done afterwards, not measured; its output is compared as well. */
  readonly check?: string
}

/** In the order in which they are measured. Files in /bench are those of the folder `guest` beside this one. */
export const PROGRAMS: readonly Program[] = [
  { name: 'python-start', image: 'python', command: `python3 -c 'print("hello", sum(range(10)))'` },
  { name: 'python', image: 'python', command: 'python3 /bench/program.py' },
  { name: 'perl', image: 'perl', command: 'perl /bench/program.pl' },
  { name: 'node-start', image: 'node', command: `node -e 'console.log("hello", 6 * 7)'` },
  { name: 'node-loop', image: 'node', command: 'node /bench/loop.js 50' },
  { name: 'node-jitless', image: 'node', command: 'node --jitless /bench/loop.js 10' },
  {
    name: 'gcc',
    image: 'gcc',
    command: 'gcc -O2 -o program /bench/program.c && ./program',
    check: '$b sha256sum program',
  },
  { name: 'forks', image: 'system', command: 'dash /bench/forks.sh 500' },
  { name: 'files', image: 'system', command: 'dash /bench/files.sh' },
  { name: 'dpkg', image: 'system', command: 'dash /bench/dpkg.sh' },
  { name: 'apt', image: 'apt', command: 'dash /bench/apt.sh' },
  { name: 'xz', image: 'system', command: 'dash /bench/xz.sh' },
]

/**
 * Programs by name: `node` stands for all whose name begins with `node-`.
 *
 * @throws Error for a name that stands for none
 */
export function choosePrograms(names: readonly string[]): readonly Program[] {
  const stands = (name: string, program: string): boolean => program === name || program.startsWith(`${name}-`)
  const unknown = names.find((name) => name !== BOOT && !PROGRAMS.some((program) => stands(name, program.name)))
  if (unknown !== undefined) {
    const known = [BOOT, ...PROGRAMS.map(({ name }) => name)].join(', ')
    throw new Error(`there is no program '${unknown}'; there are ${known}`)
  }
  if (names.length === 0) return PROGRAMS
  return PROGRAMS.filter((program) => names.some((name) => stands(name, program.name)))
}
