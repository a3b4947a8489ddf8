// The Node versions that packages say they run on: the oldest of the range, the one of the checkout, and the newest line.
import { provideNpmProgram } from '../../packages/tooling/src/npm-program.ts'

/** Versions beside the checkout's own, with the npm package of each platform's binary and the hash of its tarball. */
const VERSIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '22.12.0': {
    'linux-x64': '4khrFzyJU/IdeFo3m5vByubF9TkuPHJzJbKyOWtJp6tXofuNEV+t+d4w6+i9tSYJIjlaZIv8Xbm8hlL5UXIBaQ==',
    'win32-x64': 'SLwOX8frMSFEHoCvs220ejb2nRTPTJ6Z1ABegzQZ436KrhCirPsEsMEQyN9VDb7SDJj3d8fgaXu0yJRtlB7Vbw==',
  },
  '26.10.0': {
    'linux-x64': 'OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
    'linux-arm64': 'idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
    'win32-x64': 'GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
  },
}

const PACKAGE = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
const FILE = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node'

/** A Node that programs can be run with. */
export interface NodeVersion {
  readonly version: string
  readonly executable: string
}

/**
 * Finds or fetches the Node versions. The npm registry has them; they stay in the user's cache.
 *
 * @returns those that could be had, and one line for each that could not
 */
export function provideNodes(): { readonly nodes: NodeVersion[]; readonly absent: string[] } {
  const nodes = [{ version: process.versions.node, executable: process.execPath }]
  const absent: string[] = []
  for (const [version, hashes] of Object.entries(VERSIONS)) {
    const hash = hashes[`${process.platform}-${process.arch}`]
    const executable =
      hash === undefined ? undefined : provideNpmProgram({ name: 'node', version, package: PACKAGE, hash, file: FILE })
    if (executable === undefined)
      absent.push(`Node ${version} cannot be had for ${process.platform} on ${process.arch}, or not now`)
    else nodes.push({ version, executable })
  }
  return { nodes: nodes.sort((a, b) => (a.version < b.version ? -1 : 1)), absent }
}
