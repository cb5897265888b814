// The runner: a loop that takes cases from the ring, runs each on the CPU and
// writes back what it left. It is never executed where it is linked. Its bytes
// are copied into the image of the child process, so it refers to no symbol;
// addresses of the child are 64-bit constants whose upper half is a magic
// number that is replaced when the image is built, and each function ends with
// an end marker by which its length is found.
//
// Registers of the loop: R12 private page, R13 ring, R14 config, R15 slot.
// BP is loaded through BYTE because go vet takes it for a frame pointer.

#include "textflag.h"
#include "go_asm.h"
#include "vectors_amd64.h"

#define JUMPTO(off) MOVQ $(const_baseMagic+off), AX; JMP AX
// LOADGPR loads all registers but RSP from the slot at AX, AX last. RBP is loaded
// by MOV RBP, [RAX+40] in bytes.
#define LOADGPR \
	MOVQ (slot_gpr+1*8)(AX), CX; \
	MOVQ (slot_gpr+2*8)(AX), DX; \
	MOVQ (slot_gpr+3*8)(AX), BX; \
	BYTE $0x48; BYTE $0x8b; BYTE $0x68; BYTE $(slot_gpr+5*8); \
	MOVQ (slot_gpr+6*8)(AX), SI; \
	MOVQ (slot_gpr+7*8)(AX), DI; \
	MOVQ (slot_gpr+8*8)(AX), R8; \
	MOVQ (slot_gpr+9*8)(AX), R9; \
	MOVQ (slot_gpr+10*8)(AX), R10; \
	MOVQ (slot_gpr+11*8)(AX), R11; \
	MOVQ (slot_gpr+12*8)(AX), R12; \
	MOVQ (slot_gpr+13*8)(AX), R13; \
	MOVQ (slot_gpr+14*8)(AX), R14; \
	MOVQ (slot_gpr+15*8)(AX), R15; \
	MOVQ (slot_gpr+0*8)(AX), AX

#define ENDMARK BYTE $0x0f; BYTE $0x0b; LONG $const_endOfText; LONG $const_endOfText

// func runnerText() (start, loop, enter, land, handler, tail unsafe.Pointer)
TEXT ·runnerText(SB), NOSPLIT, $0-48
	LEAQ ·runnerStart(SB), AX
	MOVQ AX, start+0(FP)
	LEAQ ·runnerLoop(SB), AX
	MOVQ AX, loop+8(FP)
	LEAQ ·runnerEnter(SB), AX
	MOVQ AX, enter+16(FP)
	LEAQ ·runnerLand(SB), AX
	MOVQ AX, land+24(FP)
	LEAQ ·runnerHandler(SB), AX
	MOVQ AX, handler+32(FP)
	LEAQ ·runnerTail(SB), AX
	MOVQ AX, tail+40(FP)
	RET

// runnerStart makes the system calls of the table, then reports ready.
TEXT ·runnerStart(SB), NOSPLIT|NOFRAME, $0
	MOVQ $(const_baseMagic+const_offCalls), BX
next:
	MOVQ call_nr(BX), AX
	CMPQ AX, $-1
	JEQ  ready
	MOVQ (call_arg+0)(BX), DI
	MOVQ (call_arg+8)(BX), SI
	MOVQ (call_arg+16)(BX), DX
	MOVQ (call_arg+24)(BX), R10
	MOVQ (call_arg+32)(BX), R8
	MOVQ (call_arg+40)(BX), R9
	SYSCALL
	CMPQ AX, $0xfffffffffffff001
	JCS  good
	CMPQ call_ignore(BX), $0
	JNE  good
	MOVQ call_ordinal(BX), DI
	CMPQ DI, $0             // the first call maps the ring
	JEQ  exit
	MOVQ $(const_baseMagic+const_offRing), CX
	MOVQ AX, header_failErrno(CX)
	INCQ DI
	MOVQ DI, header_failStep(CX)
	DECQ DI
exit:
	ADDQ $const_exitSetup, DI
	MOVL $231, AX           // exit_group
	SYSCALL
good:
	ADDQ $call__size, BX
	JMP  next
ready:
	JUMPTO(const_offLoop)
	ENDMARK

// runnerLoop sleeps until there is a case, then sets up memory and the local
// descriptor table.
TEXT ·runnerLoop(SB), NOSPLIT|NOFRAME, $0
	MOVQ $(const_baseMagic+const_offPrivate), R12
	MOVQ $(const_baseMagic+const_offRing), R13
	MOVQ $(const_baseMagic+const_offConfig), R14
next:
	MOVQ private_ack(R12), AX
	CMPL AX, header_req(R13)
	JNE  work

	// Idle. The parent may sleep on done; store first, wake after.
	MOVL AX, header_done(R13)
	LEAQ header_done(R13), DI
	MOVL $1, SI             // FUTEX_WAKE
	MOVL $1, DX
	MOVL $202, AX           // futex
	SYSCALL
	MOVQ private_ack(R12), DX
	LEAQ header_req(R13), DI
	XORL SI, SI             // FUTEX_WAIT while req == ack
	XORL R10, R10
	MOVL $202, AX
	SYSCALL
	JMP  next

work:
	ANDQ  config_slotMask(R14), AX
	IMULQ config_slotSize(R14), AX
	LEAQ  const_ringHeader(R13)(AX*1), R15
	MOVQ  R15, private_current(R12)

	MOVQ  config_windows(R14), CX
	LEAQ  config_window(R14), BX
	TESTQ CX, CX
	JEQ   ldt
window:
	MOVQ  window_in(BX), SI
	ADDQ  R15, SI
	MOVQ  window_alias(BX), DI
	MOVQ  window_blocks(BX), DX
	CMPQ  config_avx2(R14), $0
	JEQ   block
avx2block:
	VMOVDQU 0(SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y1, 32(DI)
	ADDQ  $const_blockBytes, SI
	ADDQ  $const_blockBytes, DI
	DECQ  DX
	JNE   avx2block
	VZEROUPPER
	JMP   copied
block:
	MOVOU 0(SI), X0
	MOVOU 16(SI), X1
	MOVOU 32(SI), X2
	MOVOU 48(SI), X3
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	ADDQ  $const_blockBytes, SI
	ADDQ  $const_blockBytes, DI
	DECQ  DX
	JNE   block
copied:
	ADDQ  $window__size, BX
	DECQ  CX
	JNE   window

ldt:
	MOVQ  slot_ldtCount(R15), R9
	TESTQ R9, R9
	JEQ   enter
	LEAQ  slot_ldt(R15), BX
descriptor:
	MOVL  $0x11, DI         // write, in the newer form of struct user_desc
	MOVQ  BX, SI
	MOVL  $userDesc__size, DX
	MOVL  $154, AX          // modify_ldt
	SYSCALL
	TESTL AX, AX
	JNE   refused
	ADDQ  $userDesc__size, BX
	DECQ  R9
	JNE   descriptor
enter:
	JUMPTO(const_offEnter)

refused: // answered as such; nothing has run
	MOVLQSX AX, AX
	MOVQ  AX, slot_outErr(R15)
	MOVQ  $const_kindRefused, slot_outKind(R15)
	MOVQ  $0, slot_outSigno(R15)
	JUMPTO(const_offTail)
	ENDMARK

// runnerEnter writes the code, loads the registers and enters the test. R12 to
// R15 are set.
TEXT ·runnerEnter(SB), NOSPLIT|NOFRAME, $0
	// Code of an earlier case stays until another place is written: a line
	// that has been executed is costly to write to.
	MOVQ  slot_codeDst(R15), DI
	MOVQ  private_lastDst(R12), SI
	CMPQ  SI, DI
	JEQ   code
	TESTQ SI, SI
	JEQ   code
	MOVQ  private_lastFill(R12), X4
	CMPQ  config_avx2(R14), $0
	JEQ   fill
	VPBROADCASTQ X4, Y4
	VMOVDQU Y4, 0(SI)
	JMP   code
fill:
	PUNPCKLQDQ X4, X4
	MOVOU X4, 0(SI)
	MOVOU X4, 16(SI)
code:
	MOVQ  DI, private_lastDst(R12)
	MOVQ  slot_codeFill(R15), AX
	MOVQ  AX, private_lastFill(R12)
	CMPQ  config_avx2(R14), $0
	JEQ   sse
	VMOVDQU slot_code(R15), Y0
	VMOVDQU Y0, 0(DI)
	VZEROUPPER
	JMP   written
sse:
	MOVOU (slot_code+0)(R15), X0
	MOVOU (slot_code+16)(R15), X1
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
written:
	// The CPU notices that code has changed once the store is done, and starts
	// over with all that it has begun after it: let that be nothing.
	MFENCE

	MOVQ  slot_mode(R15), CX
	TESTQ $(const_modeFPU|const_modeVector), CX
	JEQ   selectors
	TESTQ $const_modeVector, CX
	JNE   vector
	CMPQ  config_xrstor(R14), $0
	JEQ   selectors
	MOVL  $-1, AX
	MOVL  AX, DX
	MOVQ  $(const_baseMagic+const_offInit), BX
	BYTE  $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x2b // XRSTOR64 [RBX]
	JMP   selectors

vector:
	LEAQ  slot_fpuIn(R15), BX
	BYTE  $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x0b // FXRSTOR64 [RBX]
	CMPQ  config_vectors(R14), $const_vectorsYMM
	JLT   xmm
	JEQ   ymm
	LOADZMM
	JMP   selectors
ymm:
	LOADYMM
	JMP   selectors
xmm:
	LOADXMM

selectors:
	TESTQ $const_modeSelectors, CX
	JEQ   bases
	MOVQ  slot_sel(R15), AX
	BYTE  $0x8e; BYTE $0xd8 // MOV DS, EAX
	SHRQ  $16, AX
	BYTE  $0x8e; BYTE $0xc0 // MOV ES, EAX
	SHRQ  $16, AX
	BYTE  $0x8e; BYTE $0xe0 // MOV FS, EAX
	SHRQ  $16, AX
	BYTE  $0x8e; BYTE $0xe8 // MOV GS, EAX

bases: // after the selectors, which load the bases too
	TESTQ $const_modeFSBase, CX
	JEQ   gsbase
	MOVQ slot_fsBase(R15), AX
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd0 // WRFSBASE RAX
gsbase:
	TESTQ $const_modeGSBase, CX
	JEQ   enter
	MOVQ slot_gsBase(R15), AX
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd8 // WRGSBASE RAX

enter:
	TESTQ $(const_modeTrap|const_modeCompat), CX
	JNE   slow

	// From here on the stack is wherever the case has it; a signal comes on the
	// alternate stack.
	MOVQ slot_rip(R15), AX
	MOVQ AX, private_cell(R12)
	MOVQ R15, AX
	LEAQ slot_rflags(AX), SP
	POPFQ
	MOVQ (slot_gpr+4*8)(AX), SP
	LOADGPR
	BYTE $0xff; BYTE $0x25; LONG $const_ripCell // JMP [RIP+private.cell]

slow:
	TESTQ $const_modeTrap, CX
	JNE   trap

	// 32- and 16-bit code. SS is loaded by itself, so that RSP is the case's
	// in all its bits: IRET to a 16-bit stack would keep the upper ones.
	MOVQ slot_far(R15), AX
	MOVQ AX, private_cell(R12)
	MOVQ slot_ss(R15), AX
	BYTE $0x8e; BYTE $0xd0  // MOV SS, EAX
	MOVQ R15, AX
	LEAQ slot_rflags(AX), SP
	POPFQ
	MOVQ (slot_gpr+4*8)(AX), SP
	LOADGPR
	BYTE $0xff; BYTE $0x2d; LONG $const_ripCell // JMP FAR [RIP+private.cell]

trap: // TF must take effect on the test's first instruction: IRETQ
	MOVQ slot_rip(R15), AX
	MOVQ AX, (private_iret+0)(R12)
	MOVQ slot_far(R15), AX
	SHRQ $32, AX
	MOVQ AX, (private_iret+8)(R12)
	MOVQ slot_rflags(R15), AX
	MOVQ AX, (private_iret+16)(R12)
	MOVQ (slot_gpr+4*8)(R15), AX
	MOVQ AX, (private_iret+24)(R12)
	MOVQ slot_ss(R15), AX
	MOVQ AX, (private_iret+32)(R12)
	LEAQ private_iret(R12), SP
	MOVQ R15, AX
	LOADGPR
	IRETQ
	ENDMARK

// runnerLand stores the registers of a test whose landing pad was reached; the
// pad has put RAX into private.rax. No flag may change before PUSHFQ, and RSP
// is the test's until then.
TEXT ·runnerLand(SB), NOSPLIT|NOFRAME, $0
	MOVQ $(const_baseMagic+const_offPrivate), AX
	MOVQ private_current(AX), AX
	MOVQ CX, (slot_outGPR+1*8)(AX)
	MOVQ DX, (slot_outGPR+2*8)(AX)
	MOVQ BX, (slot_outGPR+3*8)(AX)
	MOVQ SP, (slot_outGPR+4*8)(AX)
	MOVQ BP, (slot_outGPR+5*8)(AX)
	MOVQ SI, (slot_outGPR+6*8)(AX)
	MOVQ DI, (slot_outGPR+7*8)(AX)
	MOVQ R8, (slot_outGPR+8*8)(AX)
	MOVQ R9, (slot_outGPR+9*8)(AX)
	MOVQ R10, (slot_outGPR+10*8)(AX)
	MOVQ R11, (slot_outGPR+11*8)(AX)
	MOVQ R12, (slot_outGPR+12*8)(AX)
	MOVQ R13, (slot_outGPR+13*8)(AX)
	MOVQ R14, (slot_outGPR+14*8)(AX)
	MOVQ R15, (slot_outGPR+15*8)(AX)
	LEAQ (slot_outRFLAGS+8)(AX), SP
	PUSHFQ
	CLD
	MOVQ AX, R15
	MOVQ $(const_baseMagic+const_offPrivate), R12
	LEAQ private_stackTop(R12), SP
	TESTQ $0x44100, slot_outRFLAGS(R15) // AC, NT, TF
	JEQ  clean
	PUSHQ $2
	POPFQ
clean:
	MOVQ private_rax(R12), AX
	MOVQ AX, (slot_outGPR+0*8)(R15)
	MOVQ slot_landRIP(R15), AX
	MOVQ AX, slot_outRIP(R15)
	BYTE $0x8c; BYTE $0xd0  // MOV EAX, SS
	SHLQ $48, AX
	BYTE $0x8c; BYTE $0xc9  // MOV ECX, CS
	ORQ  CX, AX
	MOVQ AX, slot_outCSSS(R15)
	MOVQ $const_kindLanded, slot_outKind(R15)
	MOVQ $0, slot_outSigno(R15)
	JUMPTO(const_offTail)
	ENDMARK

// runnerHandler is the handler of every signal: DI signal number, SI siginfo,
// DX ucontext (offsets of <asm/sigcontext.h>). It does not return to the test
// but goes on to the tail; nothing is blocked meanwhile, and the alternate stack
// is free again as soon as RSP has left it.
TEXT ·runnerHandler(SB), NOSPLIT|NOFRAME, $0
	PUSHQ $2
	POPFQ                   // clears AC and NT, which the kernel leaves
	MOVQ  $(const_baseMagic+const_offPrivate), R12
	// A signal that a process sent (si_code 0 or below) is no exception, but
	// for SI_TIMER: go on.
	MOVL  8(SI), AX
	TESTL AX, AX
	JGT   ours
	CMPL  DI, $14
	JNE   resume
	CMPL  AX, $-2
	JNE   resume
ours:
	MOVQ  168(DX), AX       // RIP
	MOVQ  $const_baseMagic, CX
	SUBQ  CX, AX
	CMPQ  AX, $const_offTextEnd
	JCC   test
	CMPL  DI, $14           // SIGALRM within the runner: go on
	JEQ   resume
	MOVQ  $(const_baseMagic+const_offRing), R13
	MOVQ  AX, header_failRIP(R13)
	MOVQ  DI, header_failSigno(R13)
	MOVL  $const_exitFault, DI
	MOVL  $231, AX          // exit_group
	SYSCALL

resume:
	ADDQ $8, SP             // the frame without its return address
	MOVQ 176(DX), AX        // EFLAGS
	ANDL $0x204000, AX      // NT and ID: rt_sigreturn takes these two from the
	ORL  $2, AX             // handler's flags, not from the frame
	PUSHQ AX
	POPFQ
	MOVL $15, AX            // rt_sigreturn
	SYSCALL

test:
	CMPL DI, $14
	JNE  record
	MOVQ private_ack(R12), AX
	INCQ AX
	CMPQ AX, private_tick(R12)
	JEQ  record             // the second tick in one case: it ran away
	MOVQ AX, private_tick(R12)
	JMP  resume

record:
	MOVQ private_current(R12), R15
	TESTQ $const_modeGrow, slot_mode(R15)
	JEQ  store
	CMPQ 200(DX), $14       // #PF
	JNE  store
	TESTQ $0x10, 192(DX)    // of a fetch
	JEQ  store
	CMPL DI, $11            // and this signal for it
	JNE  store
	MOVQ 216(DX), AX
	CMPQ AX, slot_growEnd(R15)
	JNE  store
	MOVQ 168(DX), AX
	CMPQ AX, slot_rip(R15)
	JNE  store
	CMPQ slot_grow(R15), $0
	JEQ  store
	DECQ slot_grow(R15)
	DECQ slot_rip(R15)
	DECQ slot_far(R15)
	DECQ slot_codeDst(R15)
	LEAQ private_stackTop(R12), SP
	MOVQ $(const_baseMagic+const_offRing), R13
	MOVQ $(const_baseMagic+const_offConfig), R14
	JUMPTO(const_offEnter)

store:
	MOVQ DI, slot_outSigno(R15)
	MOVL 8(SI), AX
	MOVQ AX, slot_outCode(R15)
	MOVQ 16(SI), AX
	MOVQ AX, slot_outAddr(R15)
	MOVQ 40(DX), AX
	MOVQ AX, (slot_outGPR+8*8)(R15)
	MOVQ 48(DX), AX
	MOVQ AX, (slot_outGPR+9*8)(R15)
	MOVQ 56(DX), AX
	MOVQ AX, (slot_outGPR+10*8)(R15)
	MOVQ 64(DX), AX
	MOVQ AX, (slot_outGPR+11*8)(R15)
	MOVQ 72(DX), AX
	MOVQ AX, (slot_outGPR+12*8)(R15)
	MOVQ 80(DX), AX
	MOVQ AX, (slot_outGPR+13*8)(R15)
	MOVQ 88(DX), AX
	MOVQ AX, (slot_outGPR+14*8)(R15)
	MOVQ 96(DX), AX
	MOVQ AX, (slot_outGPR+15*8)(R15)
	MOVQ 104(DX), AX
	MOVQ AX, (slot_outGPR+7*8)(R15)
	MOVQ 112(DX), AX
	MOVQ AX, (slot_outGPR+6*8)(R15)
	MOVQ 120(DX), AX
	MOVQ AX, (slot_outGPR+5*8)(R15)
	MOVQ 128(DX), AX
	MOVQ AX, (slot_outGPR+3*8)(R15)
	MOVQ 136(DX), AX
	MOVQ AX, (slot_outGPR+2*8)(R15)
	MOVQ 144(DX), AX
	MOVQ AX, (slot_outGPR+0*8)(R15)
	MOVQ 152(DX), AX
	MOVQ AX, (slot_outGPR+1*8)(R15)
	MOVQ 160(DX), AX
	MOVQ AX, (slot_outGPR+4*8)(R15)
	MOVQ 168(DX), AX
	MOVQ AX, slot_outRIP(R15)
	MOVQ 176(DX), AX
	MOVQ AX, slot_outRFLAGS(R15)
	MOVQ 184(DX), AX        // CS, GS, FS, SS
	MOVQ AX, slot_outCSSS(R15)
	MOVQ 192(DX), AX
	MOVQ AX, slot_outErr(R15)
	MOVQ 200(DX), AX
	MOVQ AX, slot_outTrap(R15)
	MOVQ 216(DX), AX
	MOVQ AX, slot_outCR2(R15)
	MOVQ $const_kindSignal, slot_outKind(R15)
	TESTQ $const_modeVector, slot_mode(R15)
	JEQ  stored
	// The kernel has put the registers into the frame and initialised them.
	MOVQ 224(DX), BX
	MOVQ $(const_baseMagic+const_offConfig), R14
	CMPQ config_xrstor(R14), $0
	JEQ  fxrstor
	MOVL $0xe7, AX
	XORL DX, DX
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x2b // XRSTOR64 [RBX]
	JMP  stored
fxrstor:
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x0b // FXRSTOR64 [RBX]
stored:
	LEAQ private_stackTop(R12), SP
	JUMPTO(const_offTail)
	ENDMARK

// runnerTail stores what does not depend on how the test ended (R12 and R15
// are set), puts memory back, and answers.
TEXT ·runnerTail(SB), NOSPLIT|NOFRAME, $0
	MOVQ $(const_baseMagic+const_offRing), R13
	MOVQ $(const_baseMagic+const_offConfig), R14
	BYTE $0x8c; BYTE $0xd0  // MOV EAX, SS
	CMPL AX, $0x2b
	JEQ  flat
	MOVL $0x2b, AX
	BYTE $0x8e; BYTE $0xd0  // MOV SS, EAX
flat:
	TESTQ $const_modeVector, slot_mode(R15)
	JEQ  bases
	LEAQ slot_fpuOut(R15), BX
	BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x03 // FXSAVE64 [RBX]
	CMPQ config_vectors(R14), $const_vectorsYMM
	JLT  xmm
	JEQ  ymm
	STOREZMM
	VZEROUPPER
	JMP  bases
ymm:
	STOREYMM
	VZEROUPPER
	JMP  bases
xmm:
	STOREXMM

bases:
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xc0 // RDFSBASE RAX
	MOVQ AX, slot_outFSBase(R15)
	TESTQ AX, AX
	JEQ  fszero
	XORL AX, AX
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd0 // WRFSBASE RAX
fszero:
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xc8 // RDGSBASE RAX
	MOVQ AX, slot_outGSBase(R15)
	TESTQ AX, AX
	JEQ  gszero
	XORL AX, AX
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd8 // WRGSBASE RAX
gszero:
	BYTE $0x8c; BYTE $0xe8  // MOV EAX, GS
	SHLQ $16, AX
	BYTE $0x8c; BYTE $0xe1  // MOV ECX, FS
	ORQ  CX, AX
	SHLQ $16, AX
	BYTE $0x8c; BYTE $0xc1  // MOV ECX, ES
	ORQ  CX, AX
	SHLQ $16, AX
	BYTE $0x8c; BYTE $0xd9  // MOV ECX, DS
	ORQ  CX, AX
	MOVQ AX, slot_outSel(R15)
	TESTQ AX, AX
	JEQ  null
	XORL AX, AX
	BYTE $0x8e; BYTE $0xd8  // MOV DS, EAX
	BYTE $0x8e; BYTE $0xc0  // MOV ES, EAX
	BYTE $0x8e; BYTE $0xe0  // MOV FS, EAX
	BYTE $0x8e; BYTE $0xe8  // MOV GS, EAX
null:

	// Windows out, code out, and the fill in their place.
	MOVQ  config_windows(R14), CX
	LEAQ  config_window(R14), BX
	TESTQ CX, CX
	JEQ   code
window:
	MOVQ  window_alias(BX), SI
	MOVQ  window_out(BX), DI
	ADDQ  R15, DI
	MOVQ  window_blocks(BX), DX
	MOVQ  window_fill(BX), X4
	CMPQ  config_avx2(R14), $0
	JEQ   narrow
	VPBROADCASTQ X4, Y4
wideblock:
	VMOVDQU 0(SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU Y4, 0(SI)
	VMOVDQU Y4, 32(SI)
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y1, 32(DI)
	ADDQ  $const_blockBytes, SI
	ADDQ  $const_blockBytes, DI
	DECQ  DX
	JNE   wideblock
	VZEROUPPER
	JMP   copied
narrow:
	PUNPCKLQDQ X4, X4
block:
	MOVOU 0(SI), X0
	MOVOU 16(SI), X1
	MOVOU 32(SI), X2
	MOVOU 48(SI), X3
	MOVOU X4, 0(SI)
	MOVOU X4, 16(SI)
	MOVOU X4, 32(SI)
	MOVOU X4, 48(SI)
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	ADDQ  $const_blockBytes, SI
	ADDQ  $const_blockBytes, DI
	DECQ  DX
	JNE   block
copied:
	ADDQ  $window__size, BX
	DECQ  CX
	JNE   window
code:
	CMPQ  config_rewrite(R14), $0
	JEQ   strays
	MOVQ  $0, private_lastDst(R12)
	MOVQ  slot_codeDst(R15), SI
	MOVQ  slot_codeFill(R15), X4
	PUNPCKLQDQ X4, X4
	MOVOU 0(SI), X0
	MOVOU 16(SI), X1
	MOVOU X4, 0(SI)
	MOVOU X4, 16(SI)
	MOVOU X0, (slot_outBytes+0)(R15)
	MOVOU X1, (slot_outBytes+16)(R15)

strays: // every writable page must now be all fill
	XORL  R11, R11          // stray words so far
	MOVQ  config_runs(R14), CX
	LEAQ  config_run(R14), BX
	TESTQ CX, CX
	JEQ   answer
check:
	MOVQ  checkedRun_alias(BX), DI
	MOVQ  checkedRun_blocks(BX), DX
	MOVQ  checkedRun_fill(BX), X0
	CMPQ  config_vectors(R14), $const_vectorsZMM
	JEQ   avx512
	CMPQ  config_avx2(R14), $0
	JEQ   sse
	VPBROADCASTQ X0, Y0
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
avx2block:
	VPXOR 0(DI), Y0, Y1
	VPXOR 32(DI), Y0, Y2
	VPXOR 64(DI), Y0, Y3
	VPXOR 96(DI), Y0, Y4
	VPOR  Y1, Y2, Y1
	VPOR  Y3, Y4, Y3
	VPOR  Y1, Y5, Y5
	VPOR  Y3, Y6, Y6
	VPXOR 128(DI), Y0, Y1
	VPXOR 160(DI), Y0, Y2
	VPXOR 192(DI), Y0, Y3
	VPXOR 224(DI), Y0, Y4
	VPOR  Y1, Y2, Y1
	VPOR  Y3, Y4, Y3
	VPOR  Y1, Y5, Y5
	VPOR  Y3, Y6, Y6
	ADDQ  $const_checkBytes, DI
	DECQ  DX
	JNE   avx2block
	VPOR  Y5, Y6, Y5
	VPTEST Y5, Y5
	VZEROUPPER
	JNE   dirty
	JMP   checked
avx512:
	VPBROADCASTQ X0, Z0
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
avx512block: // the sum of (fill XOR memory)
	VPTERNLOGQ $0xf6, 0(DI), Z0, Z5
	VPTERNLOGQ $0xf6, 64(DI), Z0, Z6
	VPTERNLOGQ $0xf6, 128(DI), Z0, Z5
	VPTERNLOGQ $0xf6, 192(DI), Z0, Z6
	ADDQ  $const_checkBytes, DI
	DECQ  DX
	JNE   avx512block
	VPORQ Z5, Z6, Z5
	VPTESTMQ Z5, Z5, K1
	KORTESTW K1, K1
	VZEROUPPER
	JNE   dirty
	JMP   checked
sse:
	PUNPCKLQDQ X0, X0
	PXOR  X5, X5
	SHLQ  $2, DX            // blocks of 64 bytes
sseblock:
	MOVOU 0(DI), X1
	MOVOU 16(DI), X2
	MOVOU 32(DI), X3
	MOVOU 48(DI), X4
	PXOR  X0, X1
	PXOR  X0, X2
	PXOR  X0, X3
	PXOR  X0, X4
	POR   X1, X2
	POR   X3, X4
	POR   X2, X5
	POR   X4, X5
	ADDQ  $64, DI
	DECQ  DX
	JNE   sseblock
	PXOR  X6, X6
	PCMPEQB X6, X5
	PMOVMSKB X5, AX
	CMPL  AX, $0xffff
	JEQ   checked

dirty: // rare: list the words and put them back
	MOVQ  checkedRun_alias(BX), DI
	MOVQ  checkedRun_address(BX), SI
	MOVQ  checkedRun_fill(BX), R9
	MOVQ  checkedRun_blocks(BX), DX
	SHLQ  $5, DX            // quadwords
word:
	MOVQ  (DI), AX
	CMPQ  AX, R9
	JEQ   same
	MOVQ  R9, (DI)
	CMPQ  R11, $const_maxStray
	JCC   unlisted
	MOVQ  R11, R8
	SHLQ  $4, R8
	MOVQ  SI, (slot_stray+0)(R15)(R8*1)
	MOVQ  AX, (slot_stray+8)(R15)(R8*1)
unlisted:
	INCQ  R11
same:
	ADDQ  $8, DI
	ADDQ  $8, SI
	DECQ  DX
	JNE   word
checked:
	ADDQ  $checkedRun__size, BX
	DECQ  CX
	JNE   check

answer: // the sequence number last, then the count that the parent reads first
	MOVQ  R11, slot_outStrays(R15)
	MOVQ  slot_seq(R15), AX
	ADDQ  config_canary(R14), AX
	MOVQ  AX, slot_outSeq(R15)
	MOVQ  private_ack(R12), AX
	INCL  AX
	MOVQ  AX, private_ack(R12)
	MOVL  AX, header_ack(R13)
	JUMPTO(const_offLoop)
	ENDMARK
