// The vector and mask registers to and from an fpuArea at BX.

#define LOADZMM \
	VMOVDQU64 (fpuArea_zmm+0)(BX), Z0; \
	VMOVDQU64 (fpuArea_zmm+64)(BX), Z1; \
	VMOVDQU64 (fpuArea_zmm+128)(BX), Z2; \
	VMOVDQU64 (fpuArea_zmm+192)(BX), Z3; \
	VMOVDQU64 (fpuArea_zmm+256)(BX), Z4; \
	VMOVDQU64 (fpuArea_zmm+320)(BX), Z5; \
	VMOVDQU64 (fpuArea_zmm+384)(BX), Z6; \
	VMOVDQU64 (fpuArea_zmm+448)(BX), Z7; \
	VMOVDQU64 (fpuArea_zmm+512)(BX), Z8; \
	VMOVDQU64 (fpuArea_zmm+576)(BX), Z9; \
	VMOVDQU64 (fpuArea_zmm+640)(BX), Z10; \
	VMOVDQU64 (fpuArea_zmm+704)(BX), Z11; \
	VMOVDQU64 (fpuArea_zmm+768)(BX), Z12; \
	VMOVDQU64 (fpuArea_zmm+832)(BX), Z13; \
	VMOVDQU64 (fpuArea_zmm+896)(BX), Z14; \
	VMOVDQU64 (fpuArea_zmm+960)(BX), Z15; \
	VMOVDQU64 (fpuArea_zmm+1024)(BX), Z16; \
	VMOVDQU64 (fpuArea_zmm+1088)(BX), Z17; \
	VMOVDQU64 (fpuArea_zmm+1152)(BX), Z18; \
	VMOVDQU64 (fpuArea_zmm+1216)(BX), Z19; \
	VMOVDQU64 (fpuArea_zmm+1280)(BX), Z20; \
	VMOVDQU64 (fpuArea_zmm+1344)(BX), Z21; \
	VMOVDQU64 (fpuArea_zmm+1408)(BX), Z22; \
	VMOVDQU64 (fpuArea_zmm+1472)(BX), Z23; \
	VMOVDQU64 (fpuArea_zmm+1536)(BX), Z24; \
	VMOVDQU64 (fpuArea_zmm+1600)(BX), Z25; \
	VMOVDQU64 (fpuArea_zmm+1664)(BX), Z26; \
	VMOVDQU64 (fpuArea_zmm+1728)(BX), Z27; \
	VMOVDQU64 (fpuArea_zmm+1792)(BX), Z28; \
	VMOVDQU64 (fpuArea_zmm+1856)(BX), Z29; \
	VMOVDQU64 (fpuArea_zmm+1920)(BX), Z30; \
	VMOVDQU64 (fpuArea_zmm+1984)(BX), Z31; \
	KMOVQ (fpuArea_k+0)(BX), K0; \
	KMOVQ (fpuArea_k+8)(BX), K1; \
	KMOVQ (fpuArea_k+16)(BX), K2; \
	KMOVQ (fpuArea_k+24)(BX), K3; \
	KMOVQ (fpuArea_k+32)(BX), K4; \
	KMOVQ (fpuArea_k+40)(BX), K5; \
	KMOVQ (fpuArea_k+48)(BX), K6; \
	KMOVQ (fpuArea_k+56)(BX), K7

#define LOADYMM \
	VMOVDQU (fpuArea_zmm+0)(BX), Y0; \
	VMOVDQU (fpuArea_zmm+64)(BX), Y1; \
	VMOVDQU (fpuArea_zmm+128)(BX), Y2; \
	VMOVDQU (fpuArea_zmm+192)(BX), Y3; \
	VMOVDQU (fpuArea_zmm+256)(BX), Y4; \
	VMOVDQU (fpuArea_zmm+320)(BX), Y5; \
	VMOVDQU (fpuArea_zmm+384)(BX), Y6; \
	VMOVDQU (fpuArea_zmm+448)(BX), Y7; \
	VMOVDQU (fpuArea_zmm+512)(BX), Y8; \
	VMOVDQU (fpuArea_zmm+576)(BX), Y9; \
	VMOVDQU (fpuArea_zmm+640)(BX), Y10; \
	VMOVDQU (fpuArea_zmm+704)(BX), Y11; \
	VMOVDQU (fpuArea_zmm+768)(BX), Y12; \
	VMOVDQU (fpuArea_zmm+832)(BX), Y13; \
	VMOVDQU (fpuArea_zmm+896)(BX), Y14; \
	VMOVDQU (fpuArea_zmm+960)(BX), Y15

#define LOADXMM \
	MOVOU (fpuArea_zmm+0)(BX), X0; \
	MOVOU (fpuArea_zmm+64)(BX), X1; \
	MOVOU (fpuArea_zmm+128)(BX), X2; \
	MOVOU (fpuArea_zmm+192)(BX), X3; \
	MOVOU (fpuArea_zmm+256)(BX), X4; \
	MOVOU (fpuArea_zmm+320)(BX), X5; \
	MOVOU (fpuArea_zmm+384)(BX), X6; \
	MOVOU (fpuArea_zmm+448)(BX), X7; \
	MOVOU (fpuArea_zmm+512)(BX), X8; \
	MOVOU (fpuArea_zmm+576)(BX), X9; \
	MOVOU (fpuArea_zmm+640)(BX), X10; \
	MOVOU (fpuArea_zmm+704)(BX), X11; \
	MOVOU (fpuArea_zmm+768)(BX), X12; \
	MOVOU (fpuArea_zmm+832)(BX), X13; \
	MOVOU (fpuArea_zmm+896)(BX), X14; \
	MOVOU (fpuArea_zmm+960)(BX), X15

#define STOREZMM \
	VMOVDQU64 Z0, (fpuArea_zmm+0)(BX); \
	VMOVDQU64 Z1, (fpuArea_zmm+64)(BX); \
	VMOVDQU64 Z2, (fpuArea_zmm+128)(BX); \
	VMOVDQU64 Z3, (fpuArea_zmm+192)(BX); \
	VMOVDQU64 Z4, (fpuArea_zmm+256)(BX); \
	VMOVDQU64 Z5, (fpuArea_zmm+320)(BX); \
	VMOVDQU64 Z6, (fpuArea_zmm+384)(BX); \
	VMOVDQU64 Z7, (fpuArea_zmm+448)(BX); \
	VMOVDQU64 Z8, (fpuArea_zmm+512)(BX); \
	VMOVDQU64 Z9, (fpuArea_zmm+576)(BX); \
	VMOVDQU64 Z10, (fpuArea_zmm+640)(BX); \
	VMOVDQU64 Z11, (fpuArea_zmm+704)(BX); \
	VMOVDQU64 Z12, (fpuArea_zmm+768)(BX); \
	VMOVDQU64 Z13, (fpuArea_zmm+832)(BX); \
	VMOVDQU64 Z14, (fpuArea_zmm+896)(BX); \
	VMOVDQU64 Z15, (fpuArea_zmm+960)(BX); \
	VMOVDQU64 Z16, (fpuArea_zmm+1024)(BX); \
	VMOVDQU64 Z17, (fpuArea_zmm+1088)(BX); \
	VMOVDQU64 Z18, (fpuArea_zmm+1152)(BX); \
	VMOVDQU64 Z19, (fpuArea_zmm+1216)(BX); \
	VMOVDQU64 Z20, (fpuArea_zmm+1280)(BX); \
	VMOVDQU64 Z21, (fpuArea_zmm+1344)(BX); \
	VMOVDQU64 Z22, (fpuArea_zmm+1408)(BX); \
	VMOVDQU64 Z23, (fpuArea_zmm+1472)(BX); \
	VMOVDQU64 Z24, (fpuArea_zmm+1536)(BX); \
	VMOVDQU64 Z25, (fpuArea_zmm+1600)(BX); \
	VMOVDQU64 Z26, (fpuArea_zmm+1664)(BX); \
	VMOVDQU64 Z27, (fpuArea_zmm+1728)(BX); \
	VMOVDQU64 Z28, (fpuArea_zmm+1792)(BX); \
	VMOVDQU64 Z29, (fpuArea_zmm+1856)(BX); \
	VMOVDQU64 Z30, (fpuArea_zmm+1920)(BX); \
	VMOVDQU64 Z31, (fpuArea_zmm+1984)(BX); \
	KMOVQ K0, (fpuArea_k+0)(BX); \
	KMOVQ K1, (fpuArea_k+8)(BX); \
	KMOVQ K2, (fpuArea_k+16)(BX); \
	KMOVQ K3, (fpuArea_k+24)(BX); \
	KMOVQ K4, (fpuArea_k+32)(BX); \
	KMOVQ K5, (fpuArea_k+40)(BX); \
	KMOVQ K6, (fpuArea_k+48)(BX); \
	KMOVQ K7, (fpuArea_k+56)(BX)

#define STOREYMM \
	VMOVDQU Y0, (fpuArea_zmm+0)(BX); \
	VMOVDQU Y1, (fpuArea_zmm+64)(BX); \
	VMOVDQU Y2, (fpuArea_zmm+128)(BX); \
	VMOVDQU Y3, (fpuArea_zmm+192)(BX); \
	VMOVDQU Y4, (fpuArea_zmm+256)(BX); \
	VMOVDQU Y5, (fpuArea_zmm+320)(BX); \
	VMOVDQU Y6, (fpuArea_zmm+384)(BX); \
	VMOVDQU Y7, (fpuArea_zmm+448)(BX); \
	VMOVDQU Y8, (fpuArea_zmm+512)(BX); \
	VMOVDQU Y9, (fpuArea_zmm+576)(BX); \
	VMOVDQU Y10, (fpuArea_zmm+640)(BX); \
	VMOVDQU Y11, (fpuArea_zmm+704)(BX); \
	VMOVDQU Y12, (fpuArea_zmm+768)(BX); \
	VMOVDQU Y13, (fpuArea_zmm+832)(BX); \
	VMOVDQU Y14, (fpuArea_zmm+896)(BX); \
	VMOVDQU Y15, (fpuArea_zmm+960)(BX)

#define STOREXMM \
	MOVOU X0, (fpuArea_zmm+0)(BX); \
	MOVOU X1, (fpuArea_zmm+64)(BX); \
	MOVOU X2, (fpuArea_zmm+128)(BX); \
	MOVOU X3, (fpuArea_zmm+192)(BX); \
	MOVOU X4, (fpuArea_zmm+256)(BX); \
	MOVOU X5, (fpuArea_zmm+320)(BX); \
	MOVOU X6, (fpuArea_zmm+384)(BX); \
	MOVOU X7, (fpuArea_zmm+448)(BX); \
	MOVOU X8, (fpuArea_zmm+512)(BX); \
	MOVOU X9, (fpuArea_zmm+576)(BX); \
	MOVOU X10, (fpuArea_zmm+640)(BX); \
	MOVOU X11, (fpuArea_zmm+704)(BX); \
	MOVOU X12, (fpuArea_zmm+768)(BX); \
	MOVOU X13, (fpuArea_zmm+832)(BX); \
	MOVOU X14, (fpuArea_zmm+896)(BX); \
	MOVOU X15, (fpuArea_zmm+960)(BX)
