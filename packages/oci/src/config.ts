import { OciError } from './errors.ts'
import { type Digest, parseDigest } from './digest.ts'
import { JsonValue } from './json.ts'

/** How an image wants its program to be run. Source: OCI Image Format Specification, config.md; docker, "docker inspect". */
export interface ImageConfig {
  /** GOARCH's name of the processor, such as `amd64` or `arm64`. */
  readonly architecture: string
  /** `linux`. */
  readonly os: string
  /** Variables, as `NAME=VALUE`. */
  readonly env: readonly string[]
  /** Name or number, and group behind a colon; empty: root. */
  readonly user: string
  /** An absolute path; empty: the root. */
  readonly workingDirectory: string
  /** The program and its first arguments. */
  readonly entrypoint: readonly string[]
  /** Arguments that follow unless others are given; or the program, where there is no entry point. */
  readonly command: readonly string[]
}

/** A config, and the digests of the layers without compression. */
export interface ConfigFile {
  readonly config: ImageConfig
  readonly diffIds: readonly Digest[]
}

/** Reads a config. @throws OciError `ERR_DAMAGED`, `ERR_UNSUPPORTED` */
export function parseConfig(bytes: Uint8Array, file: string): ConfigFile {
  const json = JsonValue.parse(bytes, file)
  const given = json.at('config')
  const rootfs = json.at('rootfs')
  if (rootfs.at('type').text !== 'layers')
    throw new OciError('ERR_UNSUPPORTED', file, 'it is no config of an image: it has no layers of files')
  return {
    config: {
      architecture: json.at('architecture').text,
      os: json.at('os').text,
      env: given.at('Env').texts.filter((line) => line.indexOf('=') > 0),
      user: given.at('User').text,
      workingDirectory: given.at('WorkingDir').text,
      entrypoint: given.at('Entrypoint').texts,
      command: given.at('Cmd').texts,
    },
    diffIds: rootfs.at('diff_ids').texts.map((text) => parseDigest(text, file)),
  }
}
