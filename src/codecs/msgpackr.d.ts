/**
 * The parts of msgpackr that varve uses, from the build of it that generates no code. That build also has extensions of
 * its own: what a program registers with `msgpackr` changes nothing here. It comes without types.
 */
declare module 'msgpackr/index-no-eval' {
  interface PackrOptions {
    readonly useRecords: boolean
    readonly mapsAsObjects: boolean
    readonly variableMapSize: boolean
    readonly structuredClone: boolean
    readonly moreTypes: boolean
    readonly useToJSON: boolean
  }
  interface Packr {
    /** The result is a view on a buffer that later calls reuse. */
    pack(value: unknown, mode: number): Uint8Array
    unpack(bytes: Uint8Array): unknown
    /** Where to write next; the buffer in use is let go. */
    useBuffer(buffer: Uint8Array): void
  }
  const msgpackr: {
    readonly Packr: new (options: PackrOptions) => Packr
    /** What the byte 0xc1, which MessagePack never uses, decodes to and is encoded from. */
    readonly C1: object
    /** For `pack`: the next call may overwrite the result of this one. */
    readonly RESET_BUFFER_MODE: number
  }
  export default msgpackr
}
