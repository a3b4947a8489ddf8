// The Node versions that packages say they run on: the oldest of the range, the line between, and the one of the checkout.
import { provideNpmProgram } from '../../packages/tooling/src/npm-program.ts'

/** Versions beside the checkout's own, with the npm package of each platform's binary and the hash of its tarball. */
const VERSIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '22.12.0': {
    'linux-x64': '4khrFzyJU/IdeFo3m5vByubF9TkuPHJzJbKyOWtJp6tXofuNEV+t+d4w6+i9tSYJIjlaZIv8Xbm8hlL5UXIBaQ==',
    'win32-x64': 'SLwOX8frMSFEHoCvs220ejb2nRTPTJ6Z1ABegzQZ436KrhCirPsEsMEQyN9VDb7SDJj3d8fgaXu0yJRtlB7Vbw==',
  },
  '24.21.0': {
    'linux-x64': '3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    'linux-arm64': 'FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    'win32-x64': '0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
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
